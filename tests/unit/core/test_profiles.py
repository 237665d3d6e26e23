"""Profiles by the rules of the configuration reach whoever is given a panel."""

import numpy as np

from daemon.core.series import Panel, SeriesKey
from daemon.core.server import ProfileRules

RULES = ProfileRules([("^db-", "database"), ("b", "web_api")])


def test_rules_complete_what_the_source_says_of_a_panel() -> None:
    """The first rule that fits counts, what the source says stays, and a server without either has no profile."""
    keys = tuple(SeriesKey(server, "cpu") for server in ("db-1", "db-2", "web", "other"))
    panel = Panel(keys, 0, np.zeros((4, 1), np.float32), {"db-2": "generic"})
    completed = RULES.completed(panel)
    assert completed.profiles == {"db-1": "database", "db-2": "generic", "web": "web_api"}
    assert completed.keys == panel.keys
    assert panel.profiles == {"db-2": "generic"}
    assert RULES.completed(completed) is completed
