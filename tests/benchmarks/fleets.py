"""Histories that benchmarks measure on."""

import numpy as np

from daemon.core.series import STEP_SECONDS, STEPS_PER_HOUR, Panel, SeriesKey
from daemon.simulation.fleet import Fleet
from daemon.simulation.response import METRICS
from daemon.simulation.spec import DEFAULT_SERVERS, FleetSpec, counts_for

START = 1_767_571_200  # 2026-01-05T00:00:00Z, a Monday


def full_fleet(servers: int, hours: int) -> Panel:
    """Return a simulated history in which every server has all of the 14 metrics, server after server.

    Not every simulated server has a GPU or swap. One that lacks a metric gets that of a server that has it, so that a
    network of 14 targets and one of single series have the same work.
    """
    # the default fleet has every metric; a smaller one may not
    fleet = Fleet(FleetSpec(counts=counts_for(max(servers, DEFAULT_SERVERS))))
    panel = fleet.panel(START, START + (hours * STEPS_PER_HOUR - 1) * STEP_SECONDS)
    row_of = {key: row for row, key in enumerate(panel.keys)}
    having = {name: [row for key, row in row_of.items() if key.metric == name] for name in METRICS}
    names = [server.id for server in fleet.servers[:servers]]
    keys = tuple(SeriesKey(server, metric) for server in names for metric in METRICS)
    rows = [row_of.get(key, having[key.metric][i % len(having[key.metric])]) for i, key in enumerate(keys)]
    return Panel(keys, START, panel.values[np.array(rows)], {name: fleet.profiles[name] for name in names})
