"""Profiles by the rules of the configuration, added to the profiles of a panel."""

import numpy as np

from daemon.core.series import Panel, ProfileRules, SeriesKey

RULES = ProfileRules([("^db-", "database"), ("b", "web_api")])


def test_rules_complete_the_profiles_of_the_source() -> None:
    """The first matching rule counts, the source's profile stays, and a server without either has no profile."""
    keys = tuple(SeriesKey(server, "cpu") for server in ("db-1", "db-2", "web", "other"))
    panel = Panel(keys, 0, np.zeros((4, 1), np.float32), {"db-2": "generic"})
    completed = RULES.completed(panel)
    assert completed.profiles == {"db-1": "database", "db-2": "generic", "web": "web_api"}
    assert completed.keys == panel.keys
    assert panel.profiles == {"db-2": "generic"}
    assert RULES.completed(completed) is completed
