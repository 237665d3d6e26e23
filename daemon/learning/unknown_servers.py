"""Servers that are kept out of training, so that what the model does on servers it has never seen can be measured."""

from collections import Counter
from collections.abc import Collection

import numpy as np

from daemon.domain.series import GENERIC_PROFILE, Panel
from daemon.learning.identity import stable_hash


def held_out_servers(panel: Panel, every: int, seen: Collection[str] = ()) -> frozenset[str]:
    """Return one of ``every`` servers, the same ones for the same fleet; fewer where the fleet could not spare them.

    A server is held out in the order of a hash of its id, whatever the seed, so that a model that is trained further
    on its own fleet still does not know them. One that alone has some metric, or alone is of its profile, is not.

    Args:
        panel: the history of the whole fleet.
        every: servers of which one is held out; 0 is none.
        seen: servers that the weights which training starts from were trained on: they are not unknown.
    """
    traits = _traits(panel)
    wanted = len(traits) // every if every else 0
    had = Counter(trait for each in traits.values() for trait in each)
    chosen: set[str] = set()
    for server in sorted(traits, key=stable_hash):
        if len(chosen) < wanted and server not in seen and all(had[trait] > 1 for trait in traits[server]):
            chosen.add(server)
            had.subtract(traits[server])
    return frozenset(chosen)


def without_servers(panel: Panel, servers: Collection[str]) -> Panel:
    """Return ``panel`` less the series of ``servers``."""
    return panel.select(np.array([row for row, key in enumerate(panel.keys) if key.server not in servers], dtype=int))


def _traits(panel: Panel) -> dict[str, set[tuple[str, str]]]:
    """Return of each server what has to stay among those that are trained on."""
    traits: dict[str, set[tuple[str, str]]] = {}
    for server, metric in panel.keys:
        profile = panel.profiles.get(server, GENERIC_PROFILE)
        traits.setdefault(server, {("profile", profile)}).add(("metric", metric))
    return traits
