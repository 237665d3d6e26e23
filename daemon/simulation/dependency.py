"""Which servers wait for which: what is wrong with one shows on those that call it."""

from collections.abc import Mapping, Sequence

from daemon.simulation.server import Server

UPSTREAM: Mapping[str, str] = {
    "web_api": "database",
    "data_ingest": "database",
    "risk_analytics": "data_ingest",
    "conductor_mgmt": "web_api",
}
CALLERS = 2


def callers(servers: Sequence[Server]) -> dict[int, tuple[int, ...]]:
    """Return the rows of the servers that depend on each row.

    Of each profile two servers share one upstream, by number: the third and the fourth web server call the second
    database. One whose upstream is not in the fleet calls nobody; a fleet that grows keeps the dependencies it had.
    """
    rows: dict[str, list[int]] = {}
    for row, server in enumerate(servers):
        rows.setdefault(server.profile, []).append(row)
    found: dict[int, list[int]] = {}
    for profile, upstream in UPSTREAM.items():
        for number, row in enumerate(rows.get(profile, ())):
            called = rows.get(upstream, [])[number // CALLERS :][:1]
            for each in called:
                found.setdefault(each, []).append(row)
    return {row: tuple(calling) for row, calling in found.items()}
