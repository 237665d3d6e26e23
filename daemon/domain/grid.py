"""The five-minute UTC grid on which every sample and forecast lies."""

from datetime import UTC, datetime

STEP_SECONDS = 300
STEPS_PER_HOUR = 3600 // STEP_SECONDS
STEPS_PER_DAY = 24 * STEPS_PER_HOUR
STEPS_PER_WEEK = 7 * STEPS_PER_DAY
HORIZON_STEPS = 96


def floor_to_grid(epoch_seconds: float) -> int:
    """Return the newest grid time (epoch seconds, UTC) that is not after ``epoch_seconds``."""
    return int(epoch_seconds // STEP_SECONDS) * STEP_SECONDS


def ceil_to_grid(epoch_seconds: float) -> int:
    """Return the oldest grid time (epoch seconds, UTC) that is not before ``epoch_seconds``."""
    return -int(-epoch_seconds // STEP_SECONDS) * STEP_SECONDS


def as_datetime(epoch_seconds: int) -> datetime:
    """Return ``epoch_seconds`` as an aware UTC datetime."""
    return datetime.fromtimestamp(epoch_seconds, UTC)


def as_text(epoch_seconds: int) -> str:
    """Return ``epoch_seconds`` in ISO 8601 with a trailing Z, as the API and the logs show it."""
    return as_datetime(epoch_seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> int:
    """Return the epoch seconds of an ISO 8601 time that names its zone.

    Raises:
        ValueError: ``text`` is no ISO 8601 time, or it has no time zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write ISO 8601 in UTC, as in 2026-03-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it in UTC, as in 2026-03-01T12:00:00Z")
    return int(moment.timestamp())
