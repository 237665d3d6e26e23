"""A server's profile by its name, where its source does not say."""

import re
from collections.abc import Iterable
from dataclasses import replace

from daemon.domain.series import Panel


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
