"""The audit trail: what served since when, and why."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from daemon.domain.errors import BadModel


@dataclass(frozen=True)
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
        promotion = Promotion(datetime.now(UTC).isoformat(timespec="seconds"), model, previous, why, back, withdrawn)
        with self._path.open("a", encoding="utf-8") as file:
            # what a full disk cut off stays a line of its own
            torn = file.tell() > 0 and not self._path.read_bytes().endswith(b"\n")
            file.write("\n" * torn + json.dumps(asdict(promotion)) + "\n")
            file.flush()
            os.fsync(file.fileno())

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
            raise BadModel(f"{self._path}: cannot be read: {error}; move it away") from error
        return [self._parse(number, line) for number, line in enumerate(lines, 1)]

    def withdrawal(self, model: str) -> Promotion | None:
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
