"""Model directories, and which of them serves."""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from daemon.core.errors import BadModel, ModelNotFound
from daemon.core.file_access import may, permission_denied, reason_of
from daemon.models.record import ModelRecord, cannot_serve, read_record
from daemon.system.files import Journal, atomic_directory, atomic_path

_CURRENT = "current"
_KEPT_FOR_ROLLBACK = 3

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A line of ``promotions.jsonl``: a model began to serve, or was demoted.

    Attributes:
        at: ISO 8601, UTC.
        model: its id.
        previous: id of the model that served until then; None if none did.
        why: in words.
        back: whether a rollback made it serve again.
        withdrawn: whether it was demoted, so that the baseline serves instead; ``model`` may then be ``base``.
    """

    at: str
    model: str
    previous: str | None
    why: str
    back: bool = False
    withdrawn: bool = False


@dataclass(frozen=True)
class Demotion:
    """A model, or the base network, does not serve; the baseline serves instead.

    Attributes:
        at: since when, ISO 8601 in UTC.
        why: in words.
    """

    at: str
    why: str


def demotion_text(demotion: Demotion | None) -> str:
    """Return a demotion as the API and the commands show it; empty where there is none."""
    return "" if demotion is None else f"demoted at {demotion.at}: {demotion.why}"


def served_before(current: str | None, promotions: Iterable[Promotion]) -> list[str]:
    """Return the models that served before ``current``, the last one first, without those that a rollback left."""
    served: list[str] = []
    for promotion in promotions:
        if promotion.withdrawn:
            continue
        if promotion.back:
            while served and served[-1] != promotion.model:
                served.pop()
        # the previous one has no line if a person wrote its id into `current`
        for model in (promotion.model,) if promotion.back else (promotion.previous, promotion.model):
            if model is not None and served[-1:] != [model]:
                served.append(model)
    served.reverse()
    after = served.index(current) + 1 if current in served else 0
    return [model for model in served[after:] if model != current]


@dataclass(frozen=True)
class Rollback:
    """The result of a rollback.

    Attributes:
        model: id of the model that serves again.
        instead_of: id of the model that served until then; None if none did.
        skipped: why models that served in between cannot serve, by id, the latest first.
    """

    model: str
    instead_of: str | None
    skipped: Mapping[str, str]


class ModelRegistry:
    """The folder ``models/``: a directory per model, and ``current``, a file that names the one that serves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = Journal(folder / "promotions.jsonl", Promotion)

    @contextmanager
    def new(self) -> Iterator[tuple[str, Path]]:
        """Yield an id and a folder for a model's files; the folder takes its place when all is written."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        with atomic_directory(self._folder / name) as temporary:
            yield name, temporary

    def ids(self) -> list[str]:
        """Return the ids of all models, oldest first.

        Raises:
            BadModel: the folder cannot be listed.
        """
        try:
            found = [path for path in self._folder.iterdir() if not path.name.startswith(".")]
            return sorted(path.name for path in found if path.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise BadModel(f"the models cannot be listed: {reason_of(error)}") from error

    def path(self, model: str) -> Path:
        """Return the directory of ``model``.

        Raises:
            ModelNotFound: there is no such model.
        """
        if model not in self.ids():
            known = ", ".join(self.ids()[-5:]) or "none yet; make one with forewarn train"
            raise ModelNotFound(f"no model {model!r} in {self._folder}; there are: {known}")
        return self._folder / model

    def current(self) -> str | None:
        """Return the id of the model that serves; None if there is none.

        Raises:
            BadModel: the file that names it cannot be read.
        """
        path = self._folder / _CURRENT
        try:
            return path.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            fix = "write the id of a model into it"
            raise BadModel(f"{path}: cannot be read: {reason_of(error, fix)}") from error

    def record(self, model: str) -> ModelRecord | None:
        """Return the record of the training of ``model``; None where it has none.

        Raises:
            BadModel: there is no such model, or its record is damaged.
        """
        return read_record(self.path(model))

    def promote(self, model: str, why: str, *, back: bool = False) -> None:
        """Let ``model`` serve; record when, why, and whether a rollback did it (``back``).

        Raises:
            ModelNotFound: there is no such model.
        """
        self.path(model)
        self._journal.append(Promotion(at=_now(), model=model, previous=self._current_or_none(), why=why, back=back))
        with atomic_path(self._folder / _CURRENT) as temporary:
            temporary.write_text(f"{model}\n", encoding="utf-8")

    def rollback(self) -> Rollback:
        """Let the model serve that served before the present one; missing and damaged models are skipped.

        Raises:
            ModelNotFound: there is no such model.
            BadModel: the journal of promotions or ``current`` is damaged.
        """
        current = self.current()
        skipped: dict[str, str] = {}
        for model in served_before(current, self.promotions()):
            integrity_error = self.integrity_error(model)
            if integrity_error is None:
                self.promote(model, f"rolled back from {current}", back=True)
                return Rollback(model, current, skipped)
            skipped[model] = integrity_error
        over = "".join(f"; {model}: {integrity_error}" for model, integrity_error in skipped.items())
        raise ModelNotFound(
            f"{self._folder}: no model that served before {current or 'now'} can serve again{over}; "
            "promote one with forewarn models promote ID, or train one with forewarn train"
        )

    def demote(self, model: str, why: str) -> None:
        """Record that ``model``, an id or ``base``, does not serve until it is promoted again."""
        self._journal.append(Promotion(at=_now(), model=model, previous=model, why=why, withdrawn=True))

    def demotion(self, model: str) -> Demotion | None:
        """Return the demotion of ``model``, an id or ``base``; None where it serves, or was promoted since.

        Raises:
            BadModel: the journal of promotions is damaged.
        """
        last = next((line for line in reversed(self.promotions()) if line.model == model), None)
        return Demotion(last.at, last.why) if last is not None and last.withdrawn else None

    def integrity_error(self, model: str) -> str | None:
        """Return why ``model`` cannot serve, in a sentence; None where no error is found without loading it."""
        try:
            self.record(model)
        except ModelNotFound:
            return "it is missing"
        except BadModel as problem:
            return str(problem)
        return cannot_serve(self.path(model))

    def promotions(self) -> tuple[Promotion, ...]:
        """Return all promotions and demotions, oldest first.

        Raises:
            BadModel: the journal cannot be read, or a line is damaged.
        """
        path = self._journal.path

        def refuse(number: int, problem: str) -> None:
            raise BadModel(f"{path}: line {number} is damaged: {problem}; remove that line")

        try:
            return self._journal.read(refuse)
        except (OSError, UnicodeDecodeError) as error:
            raise BadModel(f"{path}: cannot be read: {reason_of(error, 'move it away')}") from error

    def require_access(self) -> None:
        """Check that a new model can be written and promoted.

        Raises:
            BadModel: the folder or what is in it belongs to a user who denies that, or is damaged.
        """
        if self._folder.is_dir() and not may(self._folder, os.R_OK | os.W_OK | os.X_OK):
            raise BadModel(f"no model can be written: {permission_denied(self._folder)}")
        self.promotions()

    def prune(self, keep: int) -> list[str]:
        """Keep the newest ``keep`` models, delete the others, and return their ids.

        The model that serves, and the last three that served before it, stay. So does one that cannot be deleted,
        which is logged.

        Raises:
            BadModel: the journal of promotions or ``current`` is damaged; nothing was deleted.
        """
        current = self.current()
        needed = {current, *served_before(current, self.promotions())[:_KEPT_FOR_ROLLBACK]}
        ids = self.ids()
        old = [model for model in ids[: max(0, len(ids) - keep)] if model not in needed]
        deleted = []
        for model in old:
            try:
                shutil.rmtree(self._folder / model)
            except OSError as error:
                _log.warning("model_not_deleted", model=model, reason=reason_of(error))
            else:
                deleted.append(model)
        return deleted

    def checkpoint(self, run: str) -> Path:
        """Return the path of the checkpoint of the training ``run``."""
        return self._folder / ".checkpoints" / f"{run}.ckpt"

    def _current_or_none(self) -> str | None:
        try:
            return self.current()
        except BadModel:
            return None  # the promotion replaces the file


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
