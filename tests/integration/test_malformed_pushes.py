"""A thousand bodies that are wrong in some way: refused with a reason, the good parts of them taken, nothing harmed."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from daemon.api.app import create_app
from daemon.api.push import PushEndpoint
from daemon.api.security import Authentication, WebAccess
from daemon.api.snapshot_cache import SnapshotCache
from daemon.api.telemetry import PrometheusTelemetry
from daemon.config.schema import Config, ExpositionConfig
from daemon.config.sources import PushConfig
from daemon.core.series import Panel
from daemon.ingest.ingest import Ingest
from daemon.store.history import SqlStore
from tests.fakes.source import FakeClock

T0 = 1_767_571_200
GOOD = {"timestamp": "2026-01-05T00:00:00Z", "server": "a", "cpu": 41.0}
BODIES = 1000
STRANGE: tuple[Any, ...] = (
    None, True, -1, 1e308, "", "x" * 10_000, "\x00", "2026-13-45", "1970-01-01T00:00:00Z", "9999-12-31T00:00:00Z",
    [], {}, [[]], {"a": {}}, "NaN", "∞", "-0", "2026-01-05T00:00:00", "🙂", {"$ne": 1}, "'; DROP TABLE samples; --",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store with one good sample."""
    opened = SqlStore(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


CONFIG = Config.model_validate(
    {
        "sources": [{"name": "push", "type": "push"}],
        "metrics": {"cpu": {}, "mem": {}},
        "store": {"retention_days": 8},
        "http": {"max_body_bytes": 1 << 20},
    }
)


@pytest.fixture
def client(store: SqlStore) -> TestClient:
    """The application that writes to the store."""
    clock = FakeClock(T0 + 30)
    telemetry, snapshots = PrometheusTelemetry(clock), SnapshotCache(clock, {}, ExpositionConfig())
    ingest = Ingest(sources=[], store=store, metrics=("cpu", "mem"), retention_seconds=86_400, telemetry=telemetry)
    endpoint = PushEndpoint(
        source=PushConfig(name="push", type="push"),
        config=CONFIG,
        ingest=ingest,
        clock=clock,
        telemetry=telemetry,
    )
    authentication = Authentication(None, dict)
    app = create_app(
        snapshots,
        telemetry,
        lambda: endpoint,
        reload=lambda: None,
        authentication=authentication,
        access=WebAccess(None),
    )
    return TestClient(app, raise_server_exceptions=False)


def content(store: SqlStore) -> Panel:
    return store.read(T0 - 86_400, T0 + 3600)


def malformed(rng: random.Random) -> bytes:
    """Return a body without one good record."""
    kind = rng.randrange(5)
    if kind == 0:
        text = json.dumps([GOOD])
        return text[: rng.randrange(len(text))].encode()
    if kind == 1:
        return rng.randbytes(rng.randrange(1, 200))
    if kind == 2:
        # a list of nothing is a good body with nothing in it
        return json.dumps(rng.choice([each for each in STRANGE if each != []])).encode()
    if kind == 3:
        return b"[" * rng.randrange(1, 100_000)
    record = dict(GOOD)
    for name in rng.sample(sorted(record), rng.randrange(1, 3)):
        if name != "cpu" and rng.random() < 0.3:
            del record[name]
        else:
            record[name] = rng.choice([each for each in STRANGE if not _good_value(name, each)])
    return json.dumps([record] * rng.randrange(1, 4)).encode()


def _good_value(name: str, value: Any) -> bool:
    """Say whether a record would be good with this; any text names a server, and numbers are values."""
    if name == "server":
        return isinstance(value, str) or value is None
    return name == "cpu" and (isinstance(value, int | float) or value is None)


def test_a_thousand_malformed_bodies_harm_nothing(client: TestClient, store: SqlStore) -> None:
    """Each is refused with 4xx and a reason in words; what was stored before is there, and nothing else."""
    assert client.post("/api/v1/metrics", json=[GOOD]).json()["accepted"] == 1
    before, rng = content(store), random.Random(0)
    for number in range(BODIES):
        body = malformed(rng)
        answer = client.post("/api/v1/metrics", content=body)
        assert 400 <= answer.status_code < 500, (number, body[:300], answer.text[:300])
        assert answer.json()["error"], (number, body[:300])
    after = content(store)
    assert after.keys == before.keys
    np.testing.assert_array_equal(after.values, before.values)


def test_the_good_records_of_a_mixed_body_are_taken(client: TestClient, store: SqlStore) -> None:
    """Whatever stands between them; each bad one is named by its place."""
    bad = [{**GOOD, "timestamp": each} for each in STRANGE if each != GOOD["timestamp"]]
    tsmixup = [
        record
        for pair in zip(bad, ({**GOOD, "server": f"s{n}"} for n in range(len(bad))), strict=True)
        for record in pair
    ]
    answer = client.post("/api/v1/metrics", json=tsmixup).json()
    assert (answer["accepted"], answer["rejected"]) == (len(bad), len(bad))
    assert [each["index"] for each in answer["rejections"]] == list(range(0, 2 * len(bad), 2))
    assert {key.server for key in content(store).keys} == {f"s{n}" for n in range(len(bad))}
