"""Alerts, the ledger of predictions and the queues of notifications, beside the history."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy import insert as plain_insert

from daemon.alerting.outcomes import Outcome, Prediction
from daemon.alerting.state import Alert, AlertKey, AlertName, AlertState, Notification, Phase, Queued
from daemon.breach.definition import Severity
from daemon.store.schema import alerts, notifications, predictions, upsert

Transaction = Callable[[], AbstractContextManager[Connection]]


class SqlAlertRepository:
    """The book of alerts in an SQLite file or a PostgreSQL database, in the transactions of its store."""

    def __init__(self, reading: Transaction, writing: Transaction) -> None:
        self._reading, self._writing = reading, writing

    def alerts(self) -> dict[AlertKey, Alert]:
        """Return every alert that was written and not removed."""
        with self._reading() as connection:
            return {_alert_key(row): _alert(row) for row in connection.execute(select(alerts))}

    def predictions(self, since: int) -> tuple[Prediction, ...]:
        """Return the predictions that are not judged yet and those made at or after ``since``, oldest first."""
        table = predictions.c
        wanted = select(predictions).where((table.made >= since) | table.outcome.is_(None))
        ordered = wanted.order_by(table.made, table.server, table.metric, table.severity)
        with self._reading() as connection:
            return tuple(_prediction(row) for row in connection.execute(ordered))

    def queued(self, target: str, limit: int) -> tuple[Queued, ...]:
        """Return the oldest notifications, at most ``limit``, that wait for ``target``."""
        table = notifications.c
        waiting = select(notifications).where(table.target == target).order_by(table.number).limit(limit)
        with self._reading() as connection:
            return tuple(
                Queued(row.number, row.target, Notification(**json.loads(row.notification)))
                for row in connection.execute(waiting)
            )

    def write(
        self,
        changed: Mapping[AlertKey, Alert | None],
        lines: Sequence[Prediction],
        queue: Mapping[str, Sequence[Notification]],
    ) -> None:
        """Write a tick's changes in one transaction.

        Args:
            changed: what each changed alert is now; None removes it.
            lines: new or changed lines of the ledger.
            queue: notifications to be queued, by target.

        Raises:
            StoreUnavailable: nothing was written.
        """
        kept = [_alert_row(alert_key, alert) for alert_key, alert in changed.items() if alert is not None]
        waiting = [
            {"target": target, "notification": json.dumps(asdict(each))}
            for target, some in queue.items()
            for each in some
        ]
        with self._writing() as connection:
            for alert_key in (key for key, alert in changed.items() if alert is None):
                same = [alerts.c[name] == value for name, value in alert_key._asdict().items()]
                connection.execute(delete(alerts).where(*same))
            upsert(connection, alerts, kept)
            upsert(connection, predictions, [asdict(line) for line in lines])
            if waiting:
                connection.execute(plain_insert(notifications), waiting)

    def delivered(self, target: str, numbers: Sequence[int]) -> None:
        """Delete the notifications ``numbers`` of the queue of ``target``."""
        if not numbers:
            return
        table = notifications.c
        with self._writing() as connection:
            for number in numbers:
                connection.execute(delete(notifications).where(table.target == target, table.number == number))

    def shorten(self, target: str, most: int) -> int:
        """Delete the oldest notifications that wait for ``target`` but ``most``; return how many went."""
        table = notifications.c
        newest = select(table.number).where(table.target == target).order_by(table.number.desc())
        with self._reading() as connection:
            last = connection.scalar(newest.offset(most).limit(1))
        if last is None:
            return 0
        with self._writing() as connection:
            gone = connection.execute(delete(notifications).where(table.target == target, table.number <= last))
            return gone.rowcount

    def prune(self, before: int) -> int:
        """Delete the judged predictions made before ``before`` (epoch seconds); return how many went."""
        old = (predictions.c.made < before) & predictions.c.outcome.is_not(None)
        with self._writing() as connection:
            return connection.execute(delete(predictions).where(old)).rowcount


def _alert_row(alert_key: AlertKey, alert: Alert) -> dict[str, str]:
    state, annotations = json.dumps(asdict(alert.state)), json.dumps(dict(alert.annotations))
    return {**alert_key._asdict(), "state": state, "annotations": annotations}


def _alert_key(row: Any) -> AlertKey:
    return AlertKey(AlertName(row.name), row.server, row.metric, row.severity, row.profile)


def _alert(row: Any) -> Alert:
    state = json.loads(row.state)
    known = {**state, "phase": Phase(state["phase"]), "votes": tuple(state["votes"])}
    return Alert(AlertState(**known), json.loads(row.annotations))


def _prediction(row: Any) -> Prediction:
    outcome = None if row.outcome is None else Outcome(row.outcome)
    return Prediction(
        server=row.server,
        metric=row.metric,
        severity=Severity(row.severity),
        profile=row.profile,
        made=row.made,
        probability=row.probability,
        model=row.model,
        outcome=outcome,
        onset=row.onset,
    )
