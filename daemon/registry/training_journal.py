"""What is training, and what came of the runs before: on disk, so that it outlives the service."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from daemon.domain.levels import LevelName
from daemon.domain.retraining import RunState, TrainingRun, Trigger
from daemon.files.atomic import atomic_path

_MOST_READ = 1000

_log = structlog.get_logger()


class TrainingJournal:
    """The folder ``training/``: ``current.json``, ``runs.jsonl``, and a folder for the run under way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current, self._runs = folder / "current.json", folder / "runs.jsonl"

    def folder(self, run: TrainingRun) -> Path:
        """Return the run's own folder."""
        return self._folder / run.id

    def begin(self, run: TrainingRun) -> None:
        """Note that ``run`` is under way."""
        self.folder(run).mkdir(parents=True, exist_ok=True)
        with atomic_path(self._current) as temporary:
            temporary.write_text(json.dumps(asdict(run)), encoding="utf-8")

    def end(self, run: TrainingRun) -> None:
        """Note how ``run`` ended, and take its folder away."""
        with self._runs.open("a", encoding="utf-8") as file:
            torn = file.tell() > 0 and not self._runs.read_bytes().endswith(b"\n")
            file.write("\n" * torn + json.dumps(asdict(run)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._current.unlink(missing_ok=True)
        shutil.rmtree(self.folder(run), ignore_errors=True)

    def current(self) -> TrainingRun | None:
        """Return the run that was under way when the service ended; None if there was none, or it is not readable."""
        try:
            return _run(json.loads(self._current.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.error("training_record_damaged", file=str(self._current), reason=str(error))
            return None

    def history(self) -> tuple[TrainingRun, ...]:
        """Return the last runs that ended, oldest first; a damaged line is left out and logged."""
        try:
            lines = self._runs.read_text(encoding="utf-8").splitlines()[-_MOST_READ:]
        except FileNotFoundError:
            return ()
        runs = []
        for line in filter(None, lines):
            try:
                runs.append(_run(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                _log.error("training_record_damaged", file=str(self._runs), reason=str(error))
        return tuple(runs)


def _run(document: dict[str, Any]) -> TrainingRun:
    kinds = {"level": LevelName(document["level"]), "trigger": Trigger(document["trigger"])}
    return TrainingRun(**document | kinds | {"state": RunState(document["state"])})
