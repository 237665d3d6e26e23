"""Pending forecasts and live scores in the database of the history."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import delete, select

from daemon.core.forecast import HORIZONS, QUANTILES
from daemon.core.scoring import INTERVALS
from daemon.core.series import SeriesKey
from daemon.forecasting.verification import LiveScore, PendingVerification, Tally
from daemon.store.engine import Transaction, upsert
from daemon.store.schema import live_scores, pending_verifications

_INSIDE = [f"inside_{name}" for name in INTERVALS]


class SqlVerificationRepository:
    """A verification repository in an SQLite file or a PostgreSQL database, in the transactions of its store."""

    def __init__(self, reading: Transaction, writing: Transaction) -> None:
        self._reading, self._writing = reading, writing

    def pending(self) -> tuple[PendingVerification, ...]:
        """Return the pending forecasts, oldest first."""
        ordered = select(pending_verifications).order_by(pending_verifications.c.origin)
        with self._reading() as connection:
            return tuple(_pending(row) for row in connection.execute(ordered))

    def scores(self, since: int) -> tuple[LiveScore, ...]:
        """Return the scores of origins at or after ``since`` (epoch seconds), oldest first."""
        table = live_scores.c
        wanted = select(live_scores).where(table.origin >= since)
        ordered = wanted.order_by(table.origin, table.forecaster, table.metric, table.horizon)
        with self._reading() as connection:
            return tuple(_score(row) for row in connection.execute(ordered))

    def write(self, pending: Sequence[PendingVerification], done: Sequence[int], scores: Sequence[LiveScore]) -> None:
        """Add pending forecasts, delete those of the origins ``done``, and add ``scores``, in one transaction.

        Raises:
            StoreUnavailable: nothing was written.
        """
        with self._writing() as connection:
            connection.execute(delete(pending_verifications).where(pending_verifications.c.origin.in_(done)))
            upsert(connection, pending_verifications, map(_pending_row, pending))
            upsert(connection, live_scores, map(_score_row, scores))

    def prune(self, before: int) -> int:
        """Delete the scores of origins before ``before`` (epoch seconds); return their number."""
        with self._writing() as connection:
            return connection.execute(delete(live_scores).where(live_scores.c.origin < before)).rowcount


def _pending_row(pending: PendingVerification) -> dict[str, Any]:
    series = [[*key, forecaster] for key, forecaster in zip(pending.keys, pending.forecasters, strict=True)]
    return {"origin": pending.origin, "series": json.dumps(series), "paths": pending.paths.astype("<f4").tobytes()}


def _pending(row: Any) -> PendingVerification:
    series = json.loads(row.series)
    paths = np.frombuffer(row.paths, dtype="<f4").reshape(len(series), len(HORIZONS), len(QUANTILES))
    keys = tuple(SeriesKey(server, metric) for server, metric, _ in series)
    return PendingVerification(row.origin, keys, paths, tuple(forecaster for _, _, forecaster in series))


def _score_row(score: LiveScore) -> dict[str, Any]:
    tally = score.tally
    return {
        "origin": score.origin,
        "forecaster": score.forecaster,
        "metric": score.metric,
        "horizon": score.horizon,
        "scored": tally.count,
        "pinball": tally.pinball,
        "naive": tally.naive,
        "baseline": tally.baseline,
        **dict(zip(_INSIDE, tally.inside, strict=True)),
    }


def _score(row: Any) -> LiveScore:
    inside = tuple(getattr(row, name) for name in _INSIDE)
    tally = Tally(count=row.scored, pinball=row.pinball, naive=row.naive, baseline=row.baseline, inside=inside)
    return LiveScore(origin=row.origin, forecaster=row.forecaster, metric=row.metric, horizon=row.horizon, tally=tally)
