from pathlib import Path

import pytest

from daemon.domain.errors import BadModel, ModelNotFound
from daemon.registry.models import ModelRegistry


def test_a_model_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A training that fails while writing leaves nothing behind."""
    registry = ModelRegistry(tmp_path / "models")

    def fail() -> None:
        with registry.new() as (_, folder):
            (folder / "model.json").write_text("{", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert registry.ids() == []
    assert list((tmp_path / "models").iterdir()) == []


def test_current_names_the_model_that_serves(tmp_path: Path) -> None:
    """Promoting is one atomic write; before the first there is no current model."""
    registry = ModelRegistry(tmp_path / "models")
    assert registry.current() is None
    with registry.new() as (name, folder):
        (folder / "model.json").write_text("{}", encoding="utf-8")
    registry.promote(name, "by a test")
    assert registry.current() == name
    assert registry.ids() == [name]
    assert (registry.path(name) / "model.json").exists()


def test_an_unknown_model_is_named_with_those_there_are(tmp_path: Path) -> None:
    """A typo, or a path that leads elsewhere, is no model."""
    registry = ModelRegistry(tmp_path / "models")
    for wrong in ("nope", "..", "../models", ""):
        with pytest.raises(ModelNotFound, match="forewarn train"):
            registry.promote(wrong, "by a test")


def test_a_current_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """What is no text, or a folder, says nothing about which model serves; the error names it."""
    registry = ModelRegistry(tmp_path)
    (tmp_path / "current").write_bytes(b"\xff\xfe")
    with pytest.raises(BadModel, match="current: cannot be read: it is not UTF-8"):
        registry.current()
    (tmp_path / "current").unlink()
    (tmp_path / "current").mkdir()
    with pytest.raises(BadModel, match="current: cannot be read: Is a directory"):
        registry.current()


def made(registry: ModelRegistry, count: int) -> list[str]:
    names = []
    for _ in range(count):
        with registry.new() as (name, _):
            pass
        names.append(name)
    return names


def test_rolling_back_undoes_one_promotion_after_the_other(tmp_path: Path) -> None:
    """Each step goes to what served before, over models that are gone, and the first one stays."""
    registry = ModelRegistry(tmp_path)
    first, second, third, fourth = made(registry, 4)
    for name in (first, second, third, fourth):
        registry.promote(name, "by a test")
    registry.path(third).rmdir()
    assert registry.rollback() == second
    assert registry.current() == second
    assert registry.rollback() == first
    with pytest.raises(ModelNotFound, match=f"no model served before {first}"):
        registry.rollback()
    assert registry.current() == first
    assert [(each.model, each.back) for each in registry.promotions()][-2:] == [(second, True), (first, True)]


def test_what_served_when_and_why_is_on_record(tmp_path: Path) -> None:
    """The journal is read back as written; a damaged line is an error that names the file."""
    registry = ModelRegistry(tmp_path)
    assert registry.promotions() == []
    (name,) = made(registry, 1)
    registry.promote(name, "promoted by the gate")
    assert [(each.model, each.why) for each in registry.promotions()] == [(name, "promoted by the gate")]
    with (tmp_path / "promotions.jsonl").open("a", encoding="utf-8") as file:
        file.write("{\n")
    with pytest.raises(BadModel, match=r"promotions\.jsonl"):
        registry.promotions()
