"""Which series there are, under which id."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, bindparam, delete, select, update

from daemon.domain.series import Samples, SeriesKey
from daemon.store.codec import SeriesIds
from daemon.store.schema import insert, series, servers

# SQLite takes some 32,000 parameters in a statement; beyond a few hundred names the whole table is as quick.
_NAMES_PER_QUERY = 500


@dataclass(frozen=True)
class Catalogue:
    """Known series, sorted by server and metric.

    Attributes:
        keys: identity of each series.
        ids: its id in the database, ``(series,)``.
        profiles: profile of each server that has one.
    """

    keys: tuple[SeriesKey, ...]
    ids: SeriesIds
    profiles: Mapping[str, str]

    def rows(self) -> SeriesIds:
        """Return the row in ``keys`` of every id, ``(largest id + 1,)``; −1 for an id that is not used."""
        rows = np.full(int(self.ids.max(initial=-1)) + 1, -1, dtype=np.int32)
        rows[self.ids] = np.arange(len(self.ids), dtype=np.int32)
        return rows

    def profiles_of(self, keys: Collection[SeriesKey]) -> dict[str, str]:
        """Return the profile of each server in ``keys`` that has one."""
        named = {key.server for key in keys}
        return {server: profile for server, profile in self.profiles.items() if server in named}


def load_catalogue(connection: Connection) -> Catalogue:
    """Return every series of the store."""
    query = select(servers.c.name, series.c.metric, series.c.id).join_from(series, servers)
    # Sorted here, because the database would sort by the rules of its locale.
    found = sorted(connection.execute(query))
    profiles = select(servers.c.name, servers.c.profile).where(servers.c.profile.is_not(None))
    return Catalogue(
        tuple(SeriesKey(server, metric) for server, metric, _ in found),
        np.array([identifier for _, _, identifier in found], dtype=np.int32),
        dict(connection.execute(profiles).all()),
    )


def register_series(connection: Connection, samples: Samples) -> SeriesIds:
    """Return the series id of every sample, ``(samples,)``, and note the profiles that the batch names."""
    used = np.unique(samples.series)
    keys = [samples.keys[row] for row in used]
    server_ids = _server_ids(connection, {key.server for key in keys}, samples.profiles)
    ids = _series_ids(connection, keys, server_ids)
    lookup = np.full(len(samples.keys), -1, dtype=np.int32)
    lookup[used] = [ids[key] for key in keys]
    return lookup[samples.series]


def forget_series(connection: Connection, gone: SeriesIds) -> None:
    """Delete the series ``gone`` and the servers left without any."""
    connection.execute(delete(series).where(series.c.id == bindparam("gone")), [{"gone": i} for i in gone.tolist()])
    connection.execute(delete(servers).where(servers.c.id.not_in(select(series.c.server_id))))


def _server_ids(connection: Connection, needed: set[str], profiles: Mapping[str, str]) -> dict[str, int]:
    query = select(servers.c.name, servers.c.id, servers.c.profile)
    names = needed | profiles.keys()
    if len(names) <= _NAMES_PER_QUERY:
        query = query.where(servers.c.name.in_(sorted(names)))
    known = {name: (identifier, profile) for name, identifier, profile in connection.execute(query)}
    new = [{"name": name, "profile": profiles.get(name)} for name in sorted(needed - known.keys())]
    if new:
        connection.execute(insert(connection, servers), new)
    renamed = [
        {"known": known[name][0], "profile": profile}
        for name, profile in profiles.items()
        if name in known and known[name][1] != profile
    ]
    if renamed:
        connection.execute(update(servers).where(servers.c.id == bindparam("known")), renamed)
    if new:
        known |= {name: (i, profile) for name, i, profile in connection.execute(query)}
    return {name: known[name][0] for name in needed}


def _series_ids(
    connection: Connection, keys: Collection[SeriesKey], server_ids: Mapping[str, int]
) -> dict[SeriesKey, int]:
    names = {identifier: name for name, identifier in server_ids.items()}
    query = select(series.c.server_id, series.c.metric, series.c.id)
    if len(names) <= _NAMES_PER_QUERY:
        query = query.where(series.c.server_id.in_(sorted(names)))

    def known() -> dict[SeriesKey, int]:
        found = connection.execute(query)
        return {SeriesKey(names[server], metric): i for server, metric, i in found if server in names}

    ids = known()
    new = [{"server_id": server_ids[key.server], "metric": key.metric} for key in keys if key not in ids]
    if not new:
        return ids
    connection.execute(insert(connection, series), new)
    return known()
