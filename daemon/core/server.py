"""The servers as of a tick."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from daemon.core.series import Panel


class ProfileRules:
    """Ordered rules; the first whose pattern is found in the name gives the profile."""

    def __init__(self, rules: Iterable[tuple[str, str]]) -> None:
        """Compile ``(pattern, profile)`` pairs."""
        self._rules = [(re.compile(pattern), profile) for pattern, profile in rules]

    def of(self, server: str) -> str | None:
        """Return the profile of ``server``; None if no rule matches."""
        return next((profile for pattern, profile in self._rules if pattern.search(server)), None)

    def completed(self, panel: Panel) -> Panel:
        """Return ``panel`` with the profiles of those servers too whose source gives none."""
        ruled = {server: self.of(server) for server in {key.server for key in panel.keys} - panel.profiles.keys()}
        found = {server: profile for server, profile in ruled.items() if profile is not None}
        return replace(panel, profiles={**panel.profiles, **found}) if found else panel


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """One server as of a tick; state is ``known``, ``cold`` (less than a day of history) or ``stale`` (silent)."""

    name: str
    profile: str
    state: str
    metrics: tuple[str, ...]
    newest: int
