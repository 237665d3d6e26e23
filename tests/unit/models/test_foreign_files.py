"""What another user left in ``models/`` and ``training/`` is named, and stops nothing that can go on without it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.breach.model import read_breach_model
from daemon.core.errors import BadModel
from daemon.models.registry import ModelRegistry
from daemon.models.runs import TrainingJournal
from daemon.network.artifact import load_forecaster
from tests.model_directory import register
from tests.other_user import as_nobody, hand_over, needs_root, reachable_folder

pytestmark = needs_root


@pytest.fixture
def registry() -> Iterator[ModelRegistry]:
    """Give models of nobody's in which root wrote the newest."""
    with reachable_folder() as folder:
        registry = ModelRegistry(folder / "models")
        registry.promote(register(registry), "by a test")
        hand_over(folder)
        yield registry


def roots(registry: ModelRegistry) -> Path:
    """Register a model as root, its weights readable by root alone."""
    folder = registry.path(register(registry))
    (folder / "model.safetensors").chmod(0o600)
    return folder


def test_weights_that_may_not_be_read_are_not_called_missing(registry: ModelRegistry) -> None:
    """Loading and the integrity check name the file, its owner and mode."""
    folder = roots(registry)
    denied = f"permission denied: {folder / 'model.safetensors'} is owned by root (mode 0600)"
    with as_nobody():
        assert (registry.integrity_error(folder.name) or "").startswith(f"model.safetensors: cannot be read: {denied}")
        with pytest.raises(BadModel, match=re.escape(f"cannot be loaded as a model: {denied}")) as problem:
            load_forecaster(folder, {})
    assert "train a new one" not in str(problem.value)


@pytest.mark.parametrize("name", ["training_info.json", "epochs.jsonl", "calibration.json"])
def test_a_record_that_may_not_be_read_is_not_called_damaged(name: str, registry: ModelRegistry) -> None:
    """Each reader names the file and its owner."""
    folder = roots(registry)
    (folder / name).chmod(0o600)
    with as_nobody(), pytest.raises(BadModel, match=f"permission denied: {folder / name} is owned by root") as problem:
        read_breach_model(folder) if name == "calibration.json" else registry.record(folder.name)
    assert "damaged" not in str(problem.value)


def test_a_closed_model_directory_is_damaged_and_the_rest_serves(registry: ModelRegistry) -> None:
    """It is listed, and its problem is the permission."""
    folder = roots(registry)
    folder.chmod(0o700)
    with as_nobody():
        assert len(registry.ids()) == 2
        assert f"permission denied: {folder} is owned by root (mode 0700)" in (
            registry.integrity_error(folder.name) or ""
        )
        registry.require_access()


def test_closed_models_and_current_are_named(registry: ModelRegistry) -> None:
    """No model can be trained into such a folder, which is known before the training."""
    folder = registry.checkpoint("a").parents[1]
    (folder / "current").chmod(0o600)
    hand = folder / "current"
    os.chown(hand, 0, 0)
    with as_nobody(), pytest.raises(BadModel, match=f"current: cannot be read: permission denied: {hand} is owned by"):
        registry.current()
    os.chown(folder, 0, 0)
    folder.chmod(0o755)
    with as_nobody(), pytest.raises(BadModel, match=f"no model can be written: permission denied: {folder} is owned"):
        registry.require_access()
    folder.chmod(0o700)
    with as_nobody(), pytest.raises(BadModel, match=f"cannot be listed: permission denied: {folder} is owned by root"):
        registry.ids()


def test_a_journal_that_root_wrote_is_continued(registry: ModelRegistry) -> None:
    """It can be read and the folder is nobody's: no promotion is lost. One that cannot be read is named."""
    folder = roots(registry)
    journal = folder.parent / "promotions.jsonl"
    os.chown(journal, 0, 0)
    with as_nobody():
        registry.promote(folder.name, "by nobody")
        assert [line.why for line in registry.promotions()] == ["by a test", "by nobody"]
    os.chown(journal, 0, 0)
    journal.chmod(0o600)
    with as_nobody(), pytest.raises(BadModel, match=f"permission denied: {journal} is owned by root"):
        registry.require_access()


def test_a_model_that_cannot_be_deleted_stays_and_is_logged(registry: ModelRegistry) -> None:
    """The others are deleted."""
    first = registry.ids()[0]
    foreign, own = roots(registry), registry.path(register(registry))
    hand_over(own)
    last = register(registry)
    registry.promote(last, "by a test")
    with as_nobody(), capture_logs() as logs:
        assert registry.prune(0) == [own.name]
    assert [(line["event"], line["model"]) for line in logs] == [("model_not_deleted", foreign.name)]
    assert set(registry.ids()) == {first, foreign.name, last}


def test_a_training_journal_that_may_not_be_read_is_logged(registry: ModelRegistry) -> None:
    """The service starts without the runs before."""
    folder = registry.checkpoint("a").parents[2] / "training"
    folder.mkdir()
    for name in ("current.json", "runs.jsonl"):
        (folder / name).write_text("{}\n")
        (folder / name).chmod(0o600)
    with as_nobody(), capture_logs() as logs:
        journal = TrainingJournal(folder)
        assert (journal.current(), journal.history()) == (None, ())
    assert [line["reason"].partition(" (")[0] for line in logs] == [
        f"permission denied: {folder / name} is owned by root" for name in ("current.json", "runs.jsonl")
    ]
