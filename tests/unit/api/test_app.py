import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from daemon.api.app import create_app
from daemon.api.push import PushEndpoint
from daemon.api.security import Authentication, ClientLimits, WebAccess
from daemon.api.snapshot_cache import SnapshotCache
from daemon.api.telemetry import PrometheusTelemetry
from daemon.config.schema import Config, ExpositionConfig
from daemon.config.sources import PushConfig
from daemon.core.errors import ConfigError, StoreUnavailable
from daemon.core.forecast import Forecast, ForecasterKind
from daemon.core.series import DataState, SeriesKey, ServerState
from daemon.core.training_info import EpochRecord
from daemon.ingest.ingest import Ingest, SourceState
from daemon.models.record import ModelRecord
from daemon.pipeline.cycle import Snapshot
from tests.fakes.source import FakeClock
from tests.fakes.store import FakeStore
from tests.training_records import model_record

T0 = 1_767_571_200
FIGURES: dict[str, Any] = {
    "trained_at": "2026-01-04T23:00:00+00:00",
    "final_val_loss": 0.2,
    "training_time_hours": 1 / 60,
    "quantile_loss": 0.3,
    "skill_vs_seasonal_naive": {"cpu": 0.7},
}
LAST_EPOCH = EpochRecord(
    epoch=9,
    train_loss=0.1,
    val_loss=0.2,
    learning_rate=1e-3,
    time_seconds=6,
    gpu_memory_mb=0,
    samples_per_second=900,
)
RECORD = model_record("m", LAST_EPOCH, **FIGURES)


CONFIG = Config.model_validate(
    {
        "sources": [{"name": "push", "type": "push"}],
        "metrics": {"cpu": {}, "mem": {}},
        "store": {"retention_days": 8},
        "http": {"max_body_bytes": 2048},
    }
)


class Rig:
    """The application over a snapshot cache that a test fills."""

    def __init__(self, token_file: Path | None = None, push: bool = True, limits: ClientLimits | None = None) -> None:
        self.clock, self.store = FakeClock(T0 + 30), FakeStore()
        self.telemetry = PrometheusTelemetry(self.clock)
        self.refused: list[str] = []
        self.snapshots = SnapshotCache(self.clock, {}, ExpositionConfig())
        ingest = Ingest(
            sources=[], store=self.store, metrics=("cpu", "mem"), retention_seconds=86_400, telemetry=self.telemetry
        )
        endpoint = PushEndpoint(
            source=PushConfig(name="push", type="push"),
            config=CONFIG,
            ingest=ingest,
            clock=self.clock,
            telemetry=self.telemetry,
        )
        access = WebAccess(None)
        authentication = Authentication(token_file, dict)
        app = create_app(
            self.snapshots,
            self.telemetry,
            lambda: endpoint if push else None,
            reload=self.reload,
            authentication=authentication,
            access=access,
            limits=limits,
        )
        self.client = TestClient(app, raise_server_exceptions=False)

    def reload(self) -> None:
        if self.refused:
            raise ConfigError(self.refused)

    def publish(self, *sources: SourceState) -> None:
        keys = (SeriesKey("a", "cpu"), SeriesKey("b", "cpu"), SeriesKey("b", "mem"))
        paths = np.arange(3 * 96 * 7, dtype=np.float32).reshape(3, 96, 7)
        made = (ForecasterKind.MODEL, ForecasterKind.MODEL, ForecasterKind.BASELINE)
        servers = (
            ServerState(name="a", profile="generic", state=DataState.KNOWN, metrics=("cpu",), newest=T0),
            ServerState(name="b", profile="database", state=DataState.COLD, metrics=(), newest=T0),
        )
        rows = {ForecasterKind.MODEL: 2, ForecasterKind.BASELINE: 1}
        snapshot = Snapshot(
            at=T0,
            made=T0 + 20,
            forecast=Forecast(origin=T0, keys=keys, paths=paths, kinds=made, model="m"),
            servers=servers,
            sources=sources,
            model="m",
            model_error="",
            record=RECORD,
            series_by_forecaster=rows,
        )
        self.snapshots.publish(snapshot)
        self.telemetry.publish(snapshot)

    def push(self, document: Any) -> Any:
        return self.client.post("/api/v1/metrics", content=json.dumps(document))


def record(server: str = "a", at: str = "2026-01-05T00:00:00Z", **values: Any) -> dict[str, Any]:
    return {"timestamp": at, "server": server, **values}


def test_ready_only_with_a_fresh_forecast() -> None:
    """Before the first tick, and when ticks stop, the service is not ready and reports the reason."""
    rig = Rig()
    assert rig.client.get("/healthz").json() == {"status": "ok"}
    assert rig.client.get("/readyz").status_code == 503
    assert rig.client.get("/api/v1/servers").status_code == 503
    rig.publish()
    assert rig.client.get("/readyz").status_code == 200
    rig.clock.time = T0 + 1200
    answer = rig.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["the newest forecast is 1200 s old"]


def test_ready_shows_how_the_sources_fare() -> None:
    """A source that fails is named with its reason, while the service stays ready."""
    rig = Rig()
    rig.publish(
        SourceState(
            name="p",
            error="http://p:9090: connection refused",
            failed_streams={"cpu": "bad query"},
            empty_streams=("mem",),
            newest=T0,
        )
    )
    answer = rig.client.get("/readyz")
    assert answer.status_code == 200
    (source,) = answer.json()["sources"]
    assert source["healthy"] is False
    assert "connection refused" in source["error"]
    assert source["failed_streams"] == {"cpu": "bad query"}
    assert source["empty_streams"] == ["mem"]
    assert source["newest"] == "2026-01-05T00:00:00Z"


def test_documents() -> None:
    """Servers and forecasts are listed, filtered and paged."""
    rig = Rig()
    rig.publish()
    servers = rig.client.get("/api/v1/servers", params={"limit": 1, "offset": 1}).json()
    assert (servers["total"], [item["server"] for item in servers["items"]]) == (2, ["b"])
    assert rig.client.get("/api/v1/servers/b").json()["profile"] == "database"
    found = rig.client.get("/api/v1/forecasts", params={"server": "b", "metric": "mem"}).json()
    (item,) = found["items"]
    assert (item["source"], item["model"], len(item["times"])) == ("baseline", "", 96)
    assert item["times"][0] == "2026-01-05T00:05:00Z"
    assert item["times"][-1] == "2026-01-05T08:00:00Z"
    assert item["quantiles"]["q02"][0] == 2 * 96 * 7
    assert rig.client.get("/api/v1/status").json()["forecast_source"] == {"model": 2, "baseline": 1}


@pytest.mark.parametrize(
    "path", ["/api/v1/servers/x", "/nope", "/api/v1/forecasts?limit=0", "/api/v1/forecasts?limit=a"]
)
def test_an_error_has_one_form(path: str) -> None:
    """Every error answer has the same two fields."""
    rig = Rig()
    rig.publish()
    answer = rig.client.get(path)
    assert answer.status_code in {404, 422}
    assert set(answer.json()) == {"error", "detail"}


def test_metrics_plain_and_compressed_and_clean() -> None:
    """A scrape gets the same either way, and promtool has nothing to say."""
    rig = Rig()
    rig.publish(SourceState(name="p"))
    rig.telemetry.stage("forecast", 0.2, succeeded=True)
    rig.telemetry.source_failed("p", "")
    plain = rig.client.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    packed = rig.client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    for text in (plain.text, packed.text):
        assert 'forewarn_forecast{server="a",metric="cpu",horizon="8h",quantile="0.5"} ' in text
        assert 'forewarn_forecast_source{source="baseline"} 1.0' in text
        assert 'forewarn_servers{state="cold"} 1.0' in text
        assert 'forewarn_stage_runs_total{result="success",stage="forecast"} 1.0' in text
        assert "forewarn_forecast_age_seconds 30.0" in text
        assert 'forewarn_model_info{level="production",model="m"} 1.0' in text
        assert 'forewarn_training_loss{stage="validation"} 0.2' in text
        assert f"forewarn_model_age_seconds {30 + 3600:.1f}" in text
        assert 'forewarn_model_skill_ratio{metric="cpu"} 0.7' in text
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=plain.content, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr


@pytest.mark.parametrize(
    "record",
    [
        model_record("m", LAST_EPOCH, **FIGURES, level="demo"),
        model_record("m", LAST_EPOCH, **FIGURES, level="validation"),
        model_record("m", LAST_EPOCH, **FIGURES, held_out={"span": "validation"}),
    ],
    ids=["demo", "validation", "untested"],
)
def test_what_may_not_be_claimed_is_no_metric(record: ModelRecord) -> None:
    """The losses show how training went; quantile loss and skill are there only if a held-out test gave them."""
    rig = Rig()
    rig.publish()
    assert "forewarn_model_quantile_loss 0.3" in rig.client.get("/metrics").text
    snapshot = rig.snapshots.snapshot
    assert snapshot is not None
    rig.telemetry.publish(replace(snapshot, record=record))
    text = rig.client.get("/metrics").text
    assert 'forewarn_training_loss{stage="train"} 0.1' in text
    assert "forewarn_model_quantile_loss" not in text
    assert "forewarn_model_skill_ratio" not in text


def test_push_stores_the_good_and_names_the_bad() -> None:
    """The valid samples of a mixed body are stored, and every other part is rejected with a reason."""
    rig = Rig()
    answer = rig.push(
        [
            record(cpu=1.5, mem=2),
            record("b", metric="cpu", value=3),
            record("c", cpu="high"),
            record("c", at="2026-01-05T00:00:00", cpu=1),
            record("c", at="2026-01-05T00:01:00Z", cpu=1),
            record("c", at="2030-01-05T00:00:00Z", cpu=1),
            record("c", disk=1),
        ]
    )
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 3
    assert [(item["index"], item["reason"]) for item in answer.json()["rejections"]] == [
        (2, "not_a_number"),
        (3, "no_timezone"),
        (4, "off_grid"),
        (5, "in_the_future"),
        (6, "unknown_metric"),
    ]
    assert rig.store.read(T0, T0).values[:, 0].tolist() == [1.5, 2.0, 3.0]
    text = rig.client.get("/metrics").text
    assert 'forewarn_ingest_samples_total{source="push"} 3.0' in text
    assert 'forewarn_ingest_rejected_samples_total{reason="off_grid",source="push"} 1.0' in text


def test_a_value_that_comes_twice_counts_once() -> None:
    """The later value wins."""
    rig = Rig()
    rig.push([record(cpu=1)])
    rig.push([record(cpu=2), record(cpu=4)])
    assert rig.store.read(T0, T0).values.tolist() == [[4.0]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"3", 400),
        (b"[" * 1000, 400),
        (b'[{"timestamp": "x", "server": "a", "cpu": 1}]', 400),
        (b"[" + b"1," * 2000 + b"1]", 413),
    ],
)
def test_a_bad_body_is_refused_with_a_reason(body: bytes, status: int) -> None:
    """A body without a valid record is a 4xx with the reason, and nothing is stored."""
    rig = Rig()
    answer = rig.client.post("/api/v1/metrics", content=body)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert rig.store.span() is None


def test_a_store_that_fails_is_a_503() -> None:
    """A push that could not be stored is not acknowledged."""
    rig = Rig()
    rig.store.failure = StoreUnavailable("disk full")
    answer = rig.push([record(cpu=1)])
    assert answer.status_code == 503
    assert answer.json()["detail"] == "disk full"


def test_push_has_to_be_configured() -> None:
    """Without a source of type push the endpoint answers 404 and names the fix."""
    answer = Rig(push=False).push([record(cpu=1)])
    assert answer.status_code == 404
    assert "source of type push" in answer.json()["error"]


def test_a_token_is_asked_for_where_one_is_configured(tmp_path: Path) -> None:
    """Every path except the health checks needs the bearer token."""
    token = tmp_path / "token"
    token.write_text("s3cret\n", encoding="utf-8")
    rig = Rig(token)
    rig.publish()
    assert rig.client.get("/healthz").status_code == 200
    assert rig.client.get("/readyz").status_code == 200
    for header in ("", "Bearer wrong", "Basic s3cret"):
        answer = rig.client.get("/metrics", headers={"Authorization": header})
        assert answer.status_code == 401
        assert set(answer.json()) == {"error", "detail"}
    assert rig.client.get("/metrics", headers={"Authorization": "Bearer s3cret"}).status_code == 200


def test_a_reload_that_is_refused_says_why() -> None:
    """An invalid configuration is a 400 that contains every problem."""
    rig = Rig()
    assert rig.client.post("/-/reload").json() == {"status": "reloaded"}
    rig.refused = ["config.yaml: schedule.delay_seconds: 900: too long"]
    answer = rig.client.post("/-/reload")
    assert answer.status_code == 400
    assert "schedule.delay_seconds: 900" in answer.json()["error"]


def test_a_client_over_its_limit_has_to_wait() -> None:
    """Over its limit it gets 429 with the seconds, and the metric counts it; the health checks still answer."""
    rig = Rig(limits=ClientLimits(requests_per_minute=3))
    assert [rig.client.get("/metrics").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = rig.client.get("/api/v1/status")
    assert answer.status_code == 429
    assert set(answer.json()) == {"error", "detail"}
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {rig.client.get("/healthz").status_code for _ in range(9)} == {200}
    assert b'forewarn_http_requests_refused_total{reason="requests"} 2.0' in rig.telemetry.render()


def test_clients_without_an_address_share_one_limit() -> None:
    """A client without an address, as at a Unix socket, has a limit too."""
    rig = Rig(limits=ClientLimits(requests_per_minute=1))

    async def at_a_socket(scope: Any, receive: Any, send: Any) -> None:
        await rig.client.app({**scope, "client": None}, receive, send)

    client = TestClient(at_a_socket)
    assert [client.get("/metrics").status_code for _ in range(2)] == [200, 429]


def test_credentials_are_not_looked_at_after_too_many_wrong_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even valid ones, and bcrypt does not run; requests without credentials still get 401."""
    token = tmp_path / "token"
    token.write_text("s3cret")
    rig = Rig(token, limits=ClientLimits(failed_logins_per_minute=2))

    def status(header: str) -> int:
        return rig.client.get("/metrics", headers={"Authorization": header}).status_code

    assert [status("") for _ in range(5)] == [401] * 5
    assert [status("Bearer s3cret"), status("Bearer no"), status("Bearer no")] == [200, 401, 401]
    looked_at = []
    monkeypatch.setattr(Authentication, "allows", lambda _, header: looked_at.append(header))
    assert [status("Bearer s3cret"), status("Bearer no")] == [429, 429]
    assert status("") == 401
    assert looked_at == [""]
    text = rig.telemetry.render()
    assert b'forewarn_http_requests_refused_total{reason="failed_logins"} 2.0' in text
    assert b'forewarn_http_requests_refused_total{reason="unauthenticated"} 8.0' in text
