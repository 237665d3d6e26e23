"""Alerts, prediction log and notification queues in SQL, in the database of the history.

Facts that only this program reads are JSON: the status of an alert with its sent severity and probability, its texts,
and a queued notification. ``schema`` upgrades the JSON of older stores.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy import insert as plain_insert

from daemon.alerting.outcomes import Outcome, Prediction
from daemon.alerting.state import (
    Alert,
    AlertKey,
    AlertName,
    AlertState,
    AlertStatus,
    Notification,
    QueuedNotification,
)
from daemon.breach.definition import Severity
from daemon.store.engine import Transaction, upsert
from daemon.store.schema import alerts, notifications, predictions


class SqlAlertRepository:
    """The ``AlertRepository`` in SQLite or PostgreSQL; it uses the transactions of its store."""

    def __init__(self, reading: Transaction, writing: Transaction) -> None:
        self._reading, self._writing = reading, writing

    def alerts(self) -> dict[AlertKey, Alert]:
        """Return every alert that was written and not removed."""
        with self._reading() as connection:
            return {_alert_key(row): _alert(row) for row in connection.execute(select(alerts))}

    def predictions(self, since: int) -> tuple[Prediction, ...]:
        """Return the predictions without an outcome and those made at or after ``since``, oldest first."""
        table = predictions.c
        wanted = select(predictions).where((table.made >= since) | table.outcome.is_(None))
        ordered = wanted.order_by(table.made, table.server, table.metric, table.severity)
        with self._reading() as connection:
            return tuple(_prediction(row) for row in connection.execute(ordered))

    def queued(self, target: str, limit: int) -> tuple[QueuedNotification, ...]:
        """Return the oldest notifications queued for ``target``, at most ``limit``."""
        table = notifications.c
        oldest = select(notifications).where(table.target == target).order_by(table.number).limit(limit)
        with self._reading() as connection:
            return tuple(
                QueuedNotification(row.number, row.target, Notification(**json.loads(row.notification)))
                for row in connection.execute(oldest)
            )

    def queue_length(self, target: str) -> int:
        """Return how many notifications are queued for ``target``."""
        counted = select(func.count()).select_from(notifications).where(notifications.c.target == target)
        with self._reading() as connection:
            return connection.execute(counted).scalar_one()

    def write(
        self,
        changed: Mapping[AlertKey, Alert | None],
        records: Sequence[Prediction],
        queue: Mapping[str, Sequence[Notification]],
    ) -> None:
        """Write the changes of a tick in one transaction.

        Args:
            changed: each changed alert; None removes it.
            records: new or changed records of the prediction log.
            queue: notifications to queue, by target.

        Raises:
            StoreUnavailable: nothing was written.
        """
        rows = [_alert_row(key, alert) for key, alert in changed.items() if alert is not None]
        queued = [
            {"target": target, "notification": json.dumps(asdict(each))}
            for target, some in queue.items()
            for each in some
        ]
        with self._writing() as connection:
            for removed in (key for key, alert in changed.items() if alert is None):
                same = [alerts.c[name] == value for name, value in removed._asdict().items()]
                connection.execute(delete(alerts).where(*same))
            upsert(connection, alerts, rows)
            upsert(connection, predictions, [asdict(record) for record in records])
            if queued:
                connection.execute(plain_insert(notifications), queued)

    def delivered(self, target: str, numbers: Sequence[int]) -> None:
        """Delete the notifications ``numbers`` from the queue of ``target``."""
        if not numbers:
            return
        table = notifications.c
        with self._writing() as connection:
            for number in numbers:
                connection.execute(delete(notifications).where(table.target == target, table.number == number))

    def shorten(self, target: str, most: int) -> int:
        """Delete the oldest notifications of ``target`` until ``most`` are left; return how many were deleted."""
        table = notifications.c
        newest = select(table.number).where(table.target == target).order_by(table.number.desc())
        with self._reading() as connection:
            last = connection.scalar(newest.offset(most).limit(1))
        if last is None:
            return 0
        with self._writing() as connection:
            surplus = (table.target == target) & (table.number <= last)
            return connection.execute(delete(notifications).where(surplus)).rowcount

    def prune(self, before: int) -> int:
        """Delete the predictions made before ``before`` (epoch seconds) with an outcome; return how many."""
        old = (predictions.c.made < before) & predictions.c.outcome.is_not(None)
        with self._writing() as connection:
            return connection.execute(delete(predictions).where(old)).rowcount


def _alert_row(key: AlertKey, alert: Alert) -> dict[str, str]:
    facts = {**asdict(alert.status), "sent_severity": alert.sent_severity, "probability": alert.probability}
    return {**key._asdict(), "state": json.dumps(facts), "annotations": json.dumps(dict(alert.annotations))}


def _alert_key(row: Any) -> AlertKey:
    return AlertKey(AlertName(row.name), row.server, row.metric, Severity(row.severity), row.profile)


def _alert(row: Any) -> Alert:
    facts = json.loads(row.state)
    status = AlertStatus(
        state=AlertState(facts["state"]),
        since=facts["since"],
        changed=facts["changed"],
        recent_decisions=tuple(facts["recent_decisions"]),
        missing=facts["missing"],
    )
    return Alert(
        status=status,
        sent_severity=Severity(facts["sent_severity"]),
        probability=facts["probability"],
        annotations=json.loads(row.annotations),
    )


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
