import json
import shutil
from pathlib import Path

import pytest

from daemon.core.errors import BadModel, ModelNotFound
from daemon.models.registry import ModelRegistry, Rollback
from tests.model_directory import register


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
    """A typo, or a path to another folder, is no model."""
    registry = ModelRegistry(tmp_path / "models")
    for wrong in ("nope", "..", "../models", ""):
        with pytest.raises(ModelNotFound, match="forewarn train"):
            registry.promote(wrong, "by a test")


def test_a_current_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file that is no text, or a folder, names no model; the error names the file."""
    registry = ModelRegistry(tmp_path)
    (tmp_path / "current").write_bytes(b"\xff\xfe")
    with pytest.raises(BadModel, match="current: cannot be read: it is not UTF-8"):
        registry.current()
    (tmp_path / "current").unlink()
    (tmp_path / "current").mkdir()
    with pytest.raises(BadModel, match="current: cannot be read: Is a directory"):
        registry.current()


def made(registry: ModelRegistry, count: int) -> list[str]:
    return [register(registry) for _ in range(count)]


def serving_in_turn(registry: ModelRegistry, count: int) -> list[str]:
    names = made(registry, count)
    for name in names:
        registry.promote(name, "by a test")
    return names


def test_rolling_back_undoes_one_promotion_after_the_other(tmp_path: Path) -> None:
    """Each step makes the previous model serve, and the first one stays."""
    registry = ModelRegistry(tmp_path)
    first, second, third = serving_in_turn(registry, 3)
    assert registry.rollback() == Rollback(second, third, {})
    assert registry.current() == second
    assert registry.rollback().model == first
    with pytest.raises(ModelNotFound, match=f"no model that served before {first}"):
        registry.rollback()
    assert registry.current() == first
    assert [(each.model, each.previous, each.back) for each in registry.promotions()] == [
        (first, None, False),
        (second, first, False),
        (third, second, False),
        (second, third, True),
        (first, second, True),
    ]


def test_rolling_back_skips_missing_and_damaged_models(tmp_path: Path) -> None:
    """The skipped models and the reasons are returned; where none is left, the model that serves stays."""
    registry = ModelRegistry(tmp_path)
    first, second, third, fourth, fifth = serving_in_turn(registry, 5)
    shutil.rmtree(registry.path(fourth))
    weights = registry.path(third) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    (registry.path(second) / "training_info.json").write_text("{", encoding="utf-8")
    done = registry.rollback()
    assert (done.model, done.instead_of, list(done.skipped)) == (first, fifth, [fourth, third, second])
    assert done.skipped[fourth] == "it is missing"
    assert done.skipped[third].startswith("model.safetensors: cannot be read")
    assert "the record of its training is damaged" in done.skipped[second]
    registry.promote(fifth, "by a test")
    shutil.rmtree(registry.path(first))
    with pytest.raises(ModelNotFound, match=f"{first}: it is missing.*promote one with forewarn models promote"):
        registry.rollback()
    assert registry.current() == fifth


def test_rolling_back_goes_to_a_model_that_served_twice(tmp_path: Path) -> None:
    """After first, second and the first one again, the second one served before."""
    registry = ModelRegistry(tmp_path)
    first, second = serving_in_turn(registry, 2)
    registry.promote(first, "again")
    assert registry.rollback().model == second
    assert registry.rollback().model == first
    registry.promote(second, "again")
    registry.promote(first, "again")
    shutil.rmtree(registry.path(second))
    with pytest.raises(ModelNotFound, match=f"no model that served before {first}.*{second}: it is missing"):
        registry.rollback()


def test_rolling_back_knows_what_a_hand_wrote_into_current(tmp_path: Path) -> None:
    """A model that served without a promotion serves again; one whose promotion was interrupted never served."""
    registry = ModelRegistry(tmp_path)
    first, second, third = made(registry, 3)
    (tmp_path / "current").write_text(f"{first}\n", encoding="utf-8")
    registry.promote(second, "by a test")
    registry.promote(third, "interrupted before it took effect")
    (tmp_path / "current").write_text(f"{second}\n", encoding="utf-8")
    assert registry.rollback() == Rollback(first, second, {})


def test_what_served_when_and_why_is_on_record(tmp_path: Path) -> None:
    """The journal is a line of JSON per promotion; a damaged line is an error that names file and line."""
    registry = ModelRegistry(tmp_path)
    assert registry.promotions() == ()
    first, second = made(registry, 2)
    registry.promote(first, "promoted by the gate")
    journal = tmp_path / "promotions.jsonl"
    assert set(json.loads(journal.read_text())) == {"at", "model", "previous", "why", "back", "withdrawn"}
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"at": "2026-')
    registry.promote(second, "by hand")
    assert registry.current() == second
    with pytest.raises(BadModel, match=r"promotions\.jsonl: line 2 is damaged.*remove that line"):
        registry.promotions()
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text(lines[0] + lines[2], encoding="utf-8")
    assert [(each.model, each.why) for each in registry.promotions()] == [
        (first, "promoted by the gate"),
        (second, "by hand"),
    ]


def test_promoting_repairs_a_garbled_current(tmp_path: Path) -> None:
    """The model that served before is then not on record."""
    registry = ModelRegistry(tmp_path)
    (name,) = made(registry, 1)
    (tmp_path / "current").write_bytes(b"\xff")
    registry.promote(name, "by hand")
    assert registry.current() == name
    assert registry.promotions()[0].previous is None


def test_a_demoted_model_is_on_record_until_it_is_promoted(tmp_path: Path) -> None:
    """The journal has the time and the reason; a rollback ignores it, and a promotion by hand ends it."""
    registry = ModelRegistry(tmp_path)
    first, second = made(registry, 2)
    registry.promote(first, "a")
    registry.promote(second, "b")
    assert registry.demotion(second) is None
    registry.demote(second, "it was worse")
    line = registry.demotion(second)
    assert line is not None
    assert line.why == "it was worse"
    assert line.at == registry.promotions()[-1].at
    assert registry.current() == second
    assert registry.demotion(first) is None
    assert registry.rollback().model == first
    assert registry.demotion(second) is not None
    registry.promote(second, "by hand")
    assert registry.demotion(second) is None


def test_the_base_network_can_be_demoted_before_there_is_a_model(tmp_path: Path) -> None:
    """It needs no directory in the registry."""
    registry = ModelRegistry(tmp_path / "models")
    registry.demote("base", "it was worse")
    assert registry.demotion("base") is not None
    assert registry.current() is None


def test_a_journal_of_an_older_version_is_read(tmp_path: Path) -> None:
    """Its lines have no key for demotions."""
    registry = ModelRegistry(tmp_path)
    line = {"at": "2026-01-01T00:00:00+00:00", "model": "m", "previous": None, "why": "x", "back": False}
    (tmp_path / "promotions.jsonl").write_text(json.dumps(line) + "\n")
    assert registry.demotion("m") is None
    assert registry.promotions()[0].withdrawn is False


def test_old_models_are_deleted_except_what_serves_and_served_before(tmp_path: Path) -> None:
    """The newest stay, and so do those that a rollback needs, however old."""
    registry = ModelRegistry(tmp_path)
    names = sorted(made(registry, 8))
    for name in (names[0], names[1]):
        registry.promote(name, "by a test")
    assert registry.prune(8) == []
    assert registry.prune(3) == names[2:5]
    assert registry.ids() == [*names[:2], *names[5:]]
    assert registry.rollback().model == names[0]
