"""Model directories, and which of them serves."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from daemon.core.errors import BadModel, ModelNotFound
from daemon.core.file_access import may, permission_denied, reason_of
from daemon.models.record import ModelRecord, cannot_serve, read_record
from daemon.system.files import atomic_directory, atomic_path


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A model began to serve, or was withdrawn.

    Attributes:
        at: ISO 8601, UTC.
        model: its id.
        previous: id of the model that served until then; None if none did.
        why: in words.
        back: whether it had served before and was gone back to.
        withdrawn: whether it ceased to serve, and the baseline does in its place; ``model`` may then be ``base``.
    """

    at: str
    model: str
    previous: str | None
    why: str
    back: bool = False
    withdrawn: bool = False


class PromotionJournal:
    """A file to which a line of JSON is added for each change; it is on disk before the change is made."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(
        self, model: str, previous: str | None, why: str, *, back: bool = False, withdrawn: bool = False
    ) -> None:
        """Note that ``model`` serves from now on, instead of ``previous``, or is withdrawn."""
        promotion = Promotion(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            model=model,
            previous=previous,
            why=why,
            back=back,
            withdrawn=withdrawn,
        )
        line = json.dumps(asdict(promotion)) + "\n"
        try:
            with self._path.open("a", encoding="utf-8") as file:
                # what a full disk cut off stays a line of its own
                torn = file.tell() > 0 and not self._path.read_bytes().endswith(b"\n")
                file.write("\n" * torn + line)
                file.flush()
                os.fsync(file.fileno())
        except PermissionError:
            # a file that another user left here can be read and replaced where the directory is ours
            before = self._path.read_text(encoding="utf-8")
            with atomic_path(self._path) as temporary:
                temporary.write_text(before + "\n" * (before[-1:] not in ("", "\n")) + line, encoding="utf-8")

    def read(self) -> list[Promotion]:
        """Return all promotions, oldest first; none where nothing was ever promoted.

        Raises:
            BadModel: a line is damaged.
        """
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise BadModel(f"{self._path}: cannot be read: {reason_of(error, 'move it away')}") from error
        return [self._parse(number, line) for number, line in enumerate(lines, 1)]

    def demotion(self, model: str) -> Promotion | None:
        """Return the line by which ``model`` is withdrawn; None where it is not, or was promoted since.

        Raises:
            BadModel: a line is damaged.
        """
        last = next((line for line in reversed(self.read()) if line.model == model), None)
        return last if last is not None and last.withdrawn else None

    def _parse(self, number: int, line: str) -> Promotion:
        try:
            return Promotion(**json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            raise BadModel(f"{self._path}: line {number} is damaged: {error}; take that line out") from error


def served_before(current: str | None, journal: list[Promotion]) -> list[str]:
    """Return the models that served before ``current``, the last one first; those gone back from are not among them."""
    served: list[str] = []
    for promotion in journal:
        if promotion.withdrawn:
            continue
        if promotion.back:
            while served and served[-1] != promotion.model:
                served.pop()
        # the previous one has no line of its own if a hand wrote it into `current`
        for model in (promotion.model,) if promotion.back else (promotion.previous, promotion.model):
            if model is not None and served[-1:] != [model]:
                served.append(model)
    served.reverse()
    after = served.index(current) + 1 if current in served else 0
    return [model for model in served[after:] if model != current]


_CURRENT = "current"
_KEPT_FOR_ROLLBACK = 3

_log = structlog.get_logger()


@dataclass(frozen=True)
class Rollback:
    """What a rollback did.

    Attributes:
        model: id of the model that serves again.
        instead_of: id of the model that served until then; None if none did.
        skipped: why models that served in between cannot any more, by id, the latest first.
    """

    model: str
    instead_of: str | None
    skipped: Mapping[str, str]


class ModelRegistry:
    """The folder ``models/``: a directory per model, and ``current``, a file that names the one that serves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = PromotionJournal(folder / "promotions.jsonl")

    @contextmanager
    def new(self) -> Iterator[tuple[str, Path]]:
        """Yield an id and a folder for a model's files; the folder takes its place when all is written."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        with atomic_directory(self._folder / name) as temporary:
            yield name, temporary

    def ids(self) -> list[str]:
        """Return the models' ids, oldest first.

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
        """Return what is on record of the training of ``model``; None if nothing is.

        Raises:
            BadModel: there is no such model, or its record is damaged.
        """
        return read_record(self.path(model))

    def promote(self, model: str, why: str, *, back: bool = False) -> None:
        """Let ``model`` serve, and put on record since when, why, and whether it is a step ``back``.

        Raises:
            ModelNotFound: there is no such model.
        """
        self.path(model)
        self._journal.append(model, self._current_or_none(), why, back=back)
        with atomic_path(self._folder / _CURRENT) as temporary:
            temporary.write_text(f"{model}\n", encoding="utf-8")

    def rollback(self) -> Rollback:
        """Let the model serve that served before the present one; models that are gone or damaged are skipped.

        Raises:
            ModelNotFound: there is none to go back to.
            BadModel: the journal of promotions or ``current`` is damaged.
        """
        current = self.current()
        skipped: dict[str, str] = {}
        for model in served_before(current, self._journal.read()):
            integrity_error = self.integrity_error(model)
            if integrity_error is None:
                self.promote(model, f"rolled back from {current}", back=True)
                return Rollback(model, current, skipped)
            skipped[model] = integrity_error
        over = "".join(f"; {model}: {integrity_error}" for model, integrity_error in skipped.items())
        raise ModelNotFound(
            f"{self._folder}: no model served before {current or 'now'} that still can{over}; "
            "promote one with forewarn models promote ID, or train one with forewarn train"
        )

    def demote(self, model: str, why: str) -> None:
        """Put on record that ``model``, an id or ``base``, does not serve until it is promoted."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._journal.append(model, model, why, withdrawn=True)

    def demotion(self, model: str) -> Promotion | None:
        """Return since when and why ``model``, an id or ``base``, is withdrawn; None where it is not.

        Raises:
            BadModel: the journal of promotions is damaged.
        """
        return self._journal.demotion(model)

    def integrity_error(self, model: str) -> str | None:
        """Return in a sentence why ``model`` cannot serve; None where nothing of it is seen to be damaged."""
        try:
            self.record(model)
        except ModelNotFound:
            return "it is gone"
        except BadModel as problem:
            return str(problem)
        return cannot_serve(self.path(model))

    def promotions(self) -> list[Promotion]:
        """Return what served since when and why, or was withdrawn, oldest first.

        Raises:
            BadModel: the journal is damaged.
        """
        return self._journal.read()

    def require_access(self) -> None:
        """Check that a new model can be written and promoted.

        Raises:
            BadModel: the folder or what is in it belongs to a user who denies that, or is damaged.
        """
        if self._folder.is_dir() and not may(self._folder, os.R_OK | os.W_OK | os.X_OK):
            raise BadModel(f"no model can be written: {permission_denied(self._folder)}")
        self._journal.read()

    def prune(self, keep: int) -> list[str]:
        """Delete the oldest models but ``keep``, and return their ids; what serves and what did before it stay.

        One that cannot be deleted is logged and stays.

        Raises:
            BadModel: the journal of promotions or ``current`` is damaged; nothing was deleted.
        """
        current = self.current()
        needed = {current, *served_before(current, self._journal.read())[:_KEPT_FOR_ROLLBACK]}
        ids = self.ids()
        old = [model for model in ids[: max(0, len(ids) - keep)] if model not in needed]
        gone = []
        for model in old:
            try:
                shutil.rmtree(self._folder / model)
            except OSError as error:
                _log.warning("model_not_deleted", model=model, reason=reason_of(error))
            else:
                gone.append(model)
        return gone

    def checkpoint(self, run: str) -> Path:
        """Return where the training ``run`` keeps what it can go on from."""
        return self._folder / ".checkpoints" / f"{run}.ckpt"

    def _current_or_none(self) -> str | None:
        try:
            return self.current()
        except BadModel:
            return None  # what is promoted now puts that right
