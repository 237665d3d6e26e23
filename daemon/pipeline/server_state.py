"""The servers as of a tick."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerState:
    """One server as of a tick; state is ``known``, ``cold`` (less than a day of history) or ``stale`` (silent)."""

    name: str
    profile: str
    state: str
    metrics: tuple[str, ...]
    newest: int
