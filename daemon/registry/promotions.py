"""The audit trail: which model served since when, and why."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from daemon.domain.errors import BadModel


@dataclass(frozen=True)
class Promotion:
    """A model began to serve ``at`` (ISO 8601, UTC); ``back`` if it had served before and was gone back to."""

    at: str
    model: str
    why: str
    back: bool = False


class PromotionJournal:
    """A file to which a line of JSON is added for each promotion; it is on disk before the model serves."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, model: str, why: str, back: bool) -> None:
        """Note that ``model`` serves from now on."""
        promotion = Promotion(datetime.now(UTC).isoformat(timespec="seconds"), model, why, back)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(promotion)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Promotion]:
        """Return all promotions, oldest first; none where nothing was ever promoted.

        Raises:
            BadModel: a line is damaged.
        """
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
            return [Promotion(**json.loads(line)) for line in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise BadModel(f"{self._path}: cannot be read: {error}; move it away") from error
