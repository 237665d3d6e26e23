"""The conformance suite of every alert repository, including the fake; upgrade and durability of the store's."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from daemon.alerting.outcomes import AlertRepository, Outcome, Prediction
from daemon.alerting.state import Alert, AlertKey, AlertName, AlertState, AlertStatus, Notification
from daemon.breach.definition import Severity
from daemon.core.errors import StoreUnavailable
from daemon.core.series import Samples, SeriesKey
from daemon.store.history import SqlStore
from tests.fakes.alert_repository import FakeAlertRepository
from tests.integration.postgresql import postgresql_server  # noqa: F401

T0 = 1_767_225_600
IDENTITY = AlertKey(AlertName.PREDICTED_BREACH, "db\"3'ü", "disk_used_pct", Severity.CRITICAL, "database")
OTHER = IDENTITY._replace(server="db-4")
ALERT = Alert(
    status=AlertStatus(state=AlertState.FIRING, since=T0, changed=T0, recent_decisions=(True, False), missing=3),
    sent_severity=Severity.INFO,
    probability=0.1 + 0.2,
    annotations={"summary": 'it\'s "full" by 20:00 – 84 %'},
)
NEWS = Notification(
    labels={"alertname": "PredictedBreach", "server": "ü"},
    annotations={"summary": "s"},
    starts_at=T0 + 0.125,
    ends_at=0.0,
    generator_url="http://x",
)
LINE = Prediction(
    server="db-3",
    metric="disk",
    severity=Severity.CRITICAL,
    profile="database",
    made=T0,
    probability=0.1 + 0.2,
    model="m",
)


def url_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the address of a new database."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/history.db"
    return str(request.getfixturevalue("postgresql_server").new_database())


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AlertRepository]:
    """Return an empty repository of each kind."""
    if request.param == "fake":
        yield FakeAlertRepository()
        return
    store = SqlStore(url_of(request.param, request, tmp_path))
    yield store.alert_repository()
    store.close()


def test_what_is_written_is_read_back(repository: AlertRepository) -> None:
    """Statuses, severities, texts, quotes, letters, times and probabilities are read back exactly."""
    repository.write({IDENTITY: ALERT}, [LINE], {"am": [NEWS]})
    assert repository.alerts() == {IDENTITY: ALERT}
    assert repository.predictions(T0) == (LINE,)
    assert [each.notification for each in repository.queued("am", 10)] == [NEWS]


def test_what_changed_takes_the_place_of_what_was(repository: AlertRepository) -> None:
    """An alert and a record are replaced under their key; None removes an alert, and no other."""
    scored = replace(LINE, outcome=Outcome.HIT, onset=T0 + 3600)
    repository.write({IDENTITY: ALERT, OTHER: ALERT}, [LINE], {})
    repository.write({IDENTITY: replace(ALERT, annotations={}), OTHER: None}, [scored], {})
    assert repository.alerts() == {IDENTITY: replace(ALERT, annotations={})}
    assert repository.predictions(T0) == (scored,)


def test_a_queue_keeps_its_order_and_its_target(repository: AlertRepository) -> None:
    """The oldest come first, each target has its own, and delivered notifications are deleted."""
    news = [replace(NEWS, labels={"n": str(number)}) for number in range(5)]
    repository.write({}, [], {"a": news[:3], "b": news[:1]})
    repository.write({}, [], {"a": news[3:]})
    waiting = repository.queued("a", 10)
    assert [each.notification for each in waiting] == news
    assert repository.queued("a", 2) == waiting[:2]
    assert [repository.queue_length(target) for target in ("a", "b", "nobody")] == [5, 1, 0]
    repository.delivered("a", [each.number for each in waiting[:2]])
    assert repository.queued("a", 10) == waiting[2:]
    assert repository.shorten("a", 1) == 2
    assert repository.queued("a", 10) == waiting[4:]
    assert repository.queue_length("a") == 1
    assert repository.shorten("a", 1) == 0
    assert len(repository.queued("b", 10)) == 1


def test_open_predictions_are_never_too_old(repository: AlertRepository) -> None:
    """A prediction without an outcome is read and kept whatever its age; an old one with an outcome is not."""
    old = replace(LINE, made=T0 - 99 * 86_400)
    scored = replace(LINE, server="z", made=T0 - 98 * 86_400, outcome=Outcome.FALSE)
    repository.write({}, [old, scored, LINE], {})
    assert repository.predictions(T0) == (old, LINE)
    assert repository.prune(T0) == 1
    assert repository.predictions(0) == (old, LINE)


def test_a_failing_write_leaves_nothing(repository: AlertRepository) -> None:
    """Alerts, records and queues are written together or not at all."""
    if isinstance(repository, FakeAlertRepository):
        repository.failure = StoreUnavailable("full")
    bad = replace(LINE, model=cast("Any", None))
    with pytest.raises(StoreUnavailable):
        repository.write({IDENTITY: ALERT}, [LINE, bad], {"am": [NEWS]})
    assert (repository.alerts(), repository.predictions(0), repository.queued("am", 9)) == ({}, (), ())


def test_threads_write_side_by_side(repository: AlertRepository) -> None:
    """Nothing is lost and nothing is queued twice."""

    def one(number: int) -> None:
        repository.write({OTHER._replace(server=str(number)): ALERT}, [replace(LINE, made=T0 + number)], {"am": [NEWS]})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(one, range(40)))
    assert (len(repository.alerts()), len(repository.predictions(0)), len(repository.queued("am", 99))) == (40, 40, 40)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_older_store_is_upgraded_when_it_is_opened(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A store of version 1 gets the new tables and keeps its samples, also if two processes open it at once."""
    url = url_of(kind, request, tmp_path)
    with closing(SqlStore(url)) as store:
        key = SeriesKey("a", "cpu")
        store.append(
            Samples(
                keys=(key,),
                series=np.zeros(1, np.int32),
                timestamps=np.array([T0], np.int64),
                values=np.ones(1, np.float32),
            )
        )
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for table in ("alerts", "predictions", "notifications", "kept_forecasts", "live_scores"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("UPDATE meta SET value = 1 WHERE key = 'schema_version'"))
    engine.dispose()
    with ThreadPoolExecutor(2) as threads:
        stores = list(threads.map(SqlStore, [url, url]))
    stores[0].alert_repository().write({IDENTITY: ALERT}, [], {})
    assert stores[1].alert_repository().alerts() == {IDENTITY: ALERT}
    assert stores[1].verification_repository().scores(0) == ()
    assert stores[1].read(T0, T0).values.tolist() == [[1.0]]
    for store in stores:
        store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_alerts_of_version_3_are_upgraded(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The sent severity and the probability, which were annotations, become fields; each alert keeps its state."""
    url = url_of(kind, request, tmp_path)
    with closing(SqlStore(url)) as store:
        store.alert_repository().write({IDENTITY: ALERT, OTHER: ALERT}, [], {})
    state = {"phase": "firing", "since": T0, "changed": T0, "votes": [True, False], "missing": 3}
    texts = {"summary": "s", "severity": "info", "probability": "0.84"}
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        old = text("UPDATE alerts SET state = :state, annotations = :texts WHERE server = :server")
        for server, annotations in ((IDENTITY.server, texts), (OTHER.server, {"summary": "t"})):
            values = {"state": json.dumps(state), "texts": json.dumps(annotations), "server": server}
            connection.execute(old, values)
        connection.execute(text("UPDATE meta SET value = 3 WHERE key = 'schema_version'"))
    engine.dispose()
    for _ in range(2):
        with closing(SqlStore(url)) as store:
            upgraded = store.alert_repository().alerts()
        texts_kept = {"summary": "s", "probability": "0.84"}
        assert upgraded == {
            IDENTITY: replace(ALERT, probability=0.84, annotations=texts_kept),
            OTHER: replace(ALERT, sent_severity=Severity.CRITICAL, probability=None, annotations={"summary": "t"}),
        }


_WRITER = """
import sys
from daemon.store.history import SqlStore
from tests.integration.test_alert_repository_conformance import ALERT, LINE, NEWS, OTHER, replace
repository = SqlStore(sys.argv[1]).alert_repository()
for number in range(10**6):
    repository.write({OTHER._replace(server=str(number)): ALERT}, [replace(LINE, made=number)], {"am": [NEWS]})
    print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """After kill -9 the store opens; every acknowledged write is complete, and at most one more."""
    path = tmp_path / "history.db"
    command = [sys.executable, "-c", _WRITER, f"sqlite:///{path}"]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(30)][-1]
    writer.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().split())])
    writer.wait()
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        repository = store.alert_repository()
        alerts, lines, news = (
            len(repository.alerts()),
            len(repository.predictions(0)),
            len(repository.queued("am", 10**6)),
        )
        assert alerts == lines == news
        assert acknowledged + 1 <= alerts <= acknowledged + 2
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (state,) = connection.execute("SELECT state FROM alerts LIMIT 1").fetchone()
        assert json.loads(state)["state"] == "firing"
