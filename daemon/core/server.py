"""The profile and the state of each server as of a tick."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from daemon.core.series import Panel


class ProfileRules:
    """Ordered rules; the first whose pattern matches in the server's name gives the profile."""

    def __init__(self, rules: Iterable[tuple[str, str]]) -> None:
        """Compile ``(pattern, profile)`` pairs."""
        self._rules = [(re.compile(pattern), profile) for pattern, profile in rules]

    def of(self, server: str) -> str | None:
        """Return the profile of ``server``; None if no rule matches."""
        return next((profile for pattern, profile in self._rules if pattern.search(server)), None)

    def completed(self, panel: Panel) -> Panel:
        """Return ``panel`` with a profile also for servers whose source gives none, if a rule matches."""
        ruled = {server: self.of(server) for server in {key.server for key in panel.keys} - panel.profiles.keys()}
        found = {server: profile for server, profile in ruled.items() if profile is not None}
        return replace(panel, profiles={**panel.profiles, **found}) if found else panel


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """One server as of a tick.

    Attributes:
        name: id of the server.
        profile: its kind.
        state: ``known``, ``cold`` (less than a day of history) or ``stale`` (no recent sample).
        metrics: names of its metrics, sorted.
        newest: epoch seconds of its newest sample.
    """

    name: str
    profile: str
    state: str
    metrics: tuple[str, ...]
    newest: int
