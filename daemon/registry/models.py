"""Model directories, and which of them serves."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from daemon.domain.errors import BadModel, ModelNotFound
from daemon.domain.model_record import ModelRecord
from daemon.files.atomic import atomic_directory, atomic_path
from daemon.registry.records import read_record

_CURRENT = "current"


class ModelRegistry:
    """The folder ``models/``: a directory per model, and ``current``, a file that names the one that serves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def new(self) -> Iterator[tuple[str, Path]]:
        """Yield an id and a folder for a model's files; the folder takes its place when all is written."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        with atomic_directory(self._folder / name) as temporary:
            yield name, temporary

    def ids(self) -> list[str]:
        """Return the models' ids, oldest first."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if path.is_dir() and not path.name.startswith("."))

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
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise BadModel(f"{path}: cannot be read: {reason}; write the id of a model into it") from error

    def record(self, model: str) -> ModelRecord | None:
        """Return what is on record of the training of ``model``; None if nothing is.

        Raises:
            BadModel: there is no such model, or its record is damaged.
        """
        return read_record(self.path(model))

    def promote(self, model: str) -> None:
        """Let ``model`` serve.

        Raises:
            ModelNotFound: there is no such model.
        """
        self.path(model)
        with atomic_path(self._folder / _CURRENT) as temporary:
            temporary.write_text(f"{model}\n", encoding="utf-8")
