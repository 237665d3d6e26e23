"""forewarn, Prometheus and node_exporter as real processes: from init to a PromQL answer, and when one of them fails.

The first test runs on the wall clock, as a user does. The others run on a clock that passes a grid time in three
seconds, over a history that Prometheus has as blocks; so half an hour without Prometheus takes half a minute.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.config.loading import default_text, load_config
from daemon.core.series import STEP_SECONDS, SeriesKey, as_text, parse_time
from daemon.ingest.discovery import known_exporters
from daemon.store.history import SqlStore
from tests.servers.forewarn import RunningForewarn, change_config, forewarn
from tests.servers.history import node_history, write_history
from tests.servers.node_exporter import RunningNodeExporter
from tests.servers.processes import free_port, require_programs, wait_until
from tests.servers.prometheus import RunningPrometheus

SPEED = 100
HISTORY_END = parse_time("2026-01-08T00:00:00Z")
CLOCK_START = "2026-01-07T12:00:00Z"
INSTANCES = ("web-1:9100", "db-1:9100")
NODE_QUERIES = {query.metric: query.promql for query in known_exporters()[0].queries}
QUANTILES = ("0.1", "0.5", "0.9")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two and a half days of two servers, as the data directory of a Prometheus."""
    require_programs("prometheus", "promtool")
    data = tmp_path_factory.mktemp("recorded") / "data"
    data.mkdir()
    write_history(node_history(INSTANCES, HISTORY_END, days=2.5), data)
    return data


@pytest.fixture
def prometheus(recorded: Path, tmp_path: Path) -> Iterator[RunningPrometheus]:
    """A Prometheus on a copy of that history, not started; ended after the test whatever state it is in."""
    folder = tmp_path / "prometheus"
    shutil.copytree(recorded, folder / "data")
    server = RunningPrometheus(folder=folder)
    yield server
    server.kill()


def quick_config(folder: Path, prometheus: RunningPrometheus, **source: Any) -> Path:
    """Write the configuration of a service on a quick clock within the recorded history."""
    path = folder / "config.yaml"
    path.write_text(default_text())
    entry = {"name": "main", "type": "prometheus", "url": prometheus.url, "queries": NODE_QUERIES}
    change_config(
        path,
        {
            "sources": [entry | {"backfill_hours": 30, "deadline_seconds": 1} | source],
            "clock": {"start": CLOCK_START, "speed": SPEED},
            "schedule": {"delay_seconds": 0},
            "http": {"listen": f"127.0.0.1:{free_port()}"},
        },
    )
    return path


def newest_tick(service: RunningForewarn) -> int:
    """Return the grid time of the newest tick that ended."""
    return parse_time(service.get("/api/v1/status").json()["at"])


def wait_for_tick(service: RunningForewarn, at: int) -> None:
    """Wait until the tick of the grid time ``at`` has ended, or a later one."""
    wait_until(lambda: newest_tick(service) >= at, 60, f"the tick of {as_text(at)}")


def source_state(service: RunningForewarn) -> dict[str, Any]:
    """Return what /readyz says of the only source."""
    (state,) = service.get("/readyz").json()["sources"]
    return dict(state)


def exposed(service: RunningForewarn, series: str) -> float:
    """Return the value of one series of /metrics."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", service.get("/metrics").text, re.MULTILINE)
    assert found is not None, series
    return float(found[1])


def asked(server: RunningPrometheus, start: int, end: int) -> dict[SeriesKey, np.ndarray]:
    """Return what Prometheus itself answers for every series at the grid times ``start .. end``."""
    answers = {}
    for metric, promql in NODE_QUERIES.items():
        for series in server.query_range(promql, start, end, STEP_SECONDS):
            values = [float(value) for _, value in series["values"]]
            answers[SeriesKey(series["metric"]["instance"].partition(":")[0], metric)] = np.array(values, np.float32)
    return answers


def assert_filled(config: Path, server: RunningPrometheus, start: int, end: int) -> None:
    """Check that the store has every grid time ``start .. end`` of every series, as Prometheus answers it."""
    store = SqlStore(load_config(config).store_url)
    stored = store.read(start, end)
    reached = set(store.watermarks().values())
    store.close()
    expected = asked(server, start, end)
    assert len(expected) == len(INSTANCES) * len(NODE_QUERIES)
    assert set(stored.keys) == set(expected)
    for key, values in zip(stored.keys, stored.values, strict=True):
        np.testing.assert_array_equal(values, expected[key], err_msg=f"{key}")
    assert min(reached) >= end


def assert_calm(service: RunningForewarn, expected: tuple[str, ...] = ()) -> None:
    """Check that the log has no traceback, and no warning but those ``expected``."""
    assert "Traceback" not in service.log.read_text()
    for event in service.events():
        assert "exception" not in event, event
        assert event["level"] == "info" or event["event"] in expected, event


def test_the_whole_way(tmp_path: Path) -> None:
    """From init over a live Prometheus to a trained model whose forecasts PromQL finds; with what a user sees."""
    require_programs("promtool")
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {text}")

    port = free_port()
    with RunningNodeExporter(tmp_path) as exporter:
        targets = {"node": [exporter.address], "forewarn": [f"127.0.0.1:{port}"]}
        server = RunningPrometheus(folder=tmp_path, targets=targets)
        now = int(time.time())
        write_history(node_history(INSTANCES, now), server.data)
        # The counters of the live target begin anew; a rate over old and new ones together would be a jump.
        write_history(node_history([exporter.address], now - STEP_SECONDS - 60, seed=1), server.data)
        say("a week of 3 servers is in Prometheus as blocks")
        with server:
            live = f'count(rate(node_cpu_seconds_total{{instance="{exporter.address}"}}[1m]))'
            wait_until(lambda: bool(server.query(live)), 30, "rates of the live node_exporter")
            say("Prometheus scrapes node_exporter")
            told = forewarn("init", "--prometheus", server.url, "--out", "config.yaml", folder=tmp_path).stdout
            say(f"$ forewarn init --prometheus {server.url} --out config.yaml\n{told}")
            told = forewarn("check-config", "config.yaml", folder=tmp_path).stdout
            say(f"$ forewarn check-config config.yaml\n{told}")
            config = tmp_path / "config.yaml"
            # trained by hand below, and by nobody else
            change_config(config, {"http": {"listen": f"127.0.0.1:{port}"}, "training": {"triggers": []}})
            with RunningForewarn(config) as service:
                say("$ forewarn run --config config.yaml\nback-filled; the base network serves")
                check_served(service, server, "base", say)
                told = forewarn("train", "--level", "demo", "--config", "config.yaml", folder=tmp_path).stdout
                say(f"$ forewarn train --level demo --config config.yaml\n{told}")
                # The model serves from the next tick: a restart makes it come now.
                took = service.restart()
                say(f"restarted in {took:.1f} s, with a forecast")
                check_served(service, server, "model", say)
                lint = subprocess.run(
                    ["promtool", "check", "metrics"],
                    input=service.get("/metrics").text, capture_output=True, text=True, check=False,
                )  # fmt: skip
                assert (lint.returncode, lint.stdout, lint.stderr) == (0, "", "")
                stopped = service.stop()
                say(f"promtool check metrics passes; SIGTERM took {stopped.seconds:.2f} s")
                assert stopped.exit_status == 0
                assert stopped.seconds < 5
    assert_calm(service)


def check_served(service: RunningForewarn, server: RunningPrometheus, source: str, say: Callable[[str], None]) -> None:
    """Check that ``source`` forecasts every server, and that PromQL over the scraped forecasts agrees with the API."""
    servers = service.get("/api/v1/servers").json()["items"]
    assert {one["server"] for one in servers} == {"web-1", "db-1", "127.0.0.1"}
    forecasts = service.get("/api/v1/forecasts?limit=1000").json()["items"]
    assert len(forecasts) == sum(len(one["metrics"]) for one in servers)
    assert {forecast["source"] for forecast in forecasts} == {source}
    for host in ("127.0.0.1", "web-1"):
        (forecast,) = (one for one in forecasts if (one["server"], one["metric"]) == (host, "cpu_busy_pct"))
        promql = f'forewarn_forecast{{server="{host}",metric="cpu_busy_pct",horizon="8h"}}'
        expected = [forecast["quantiles"][column][-1] for column in ("q10", "q50", "q90")]
        answer = scraped(server, promql, expected)
        say(f"{source}, origin {forecast['origin']}: {promql}\n{answer}")
        assert 0 <= expected[0] <= expected[1] <= expected[2] <= 100


def scraped(server: RunningPrometheus, promql: str, expected: list[float]) -> str:
    """Wait until ``promql`` gives the quantiles ``expected``, and return its answer as promtool would print it."""
    answer: list[Any] = []

    def agrees() -> bool:
        answer[:] = sorted(server.query(promql), key=lambda one: one["metric"]["quantile"])
        found = {one["metric"]["quantile"]: float(one["value"][1]) for one in answer}
        return found == pytest.approx(dict(zip(QUANTILES, expected, strict=True)), rel=1e-4)

    wait_until(agrees, 15, f"{promql} gives {expected}")
    lines = []
    for one in answer:
        labels = ", ".join(f'{name}="{value}"' for name, value in one["metric"].items() if name != "__name__")
        lines.append(f"    {one['metric']['__name__']}{{{labels}}} => {one['value'][1]}")
    return "\n".join(lines)


def test_an_outage_of_prometheus_is_filled(tmp_path: Path, prometheus: RunningPrometheus) -> None:
    """While Prometheus is away each tick says so and forecasts go on; then the store gets every sample of the gap."""
    prometheus.start()
    config = quick_config(tmp_path, prometheus)
    with RunningForewarn(config) as service:
        before = newest_tick(service)
        wait_for_tick(service, before + STEP_SECONDS)
        prometheus.stop()
        gone = newest_tick(service) + STEP_SECONDS
        for missed in range(1, 8):
            wait_for_tick(service, gone + missed * STEP_SECONDS)
            answer = service.get("/readyz")
            assert answer.status == 200
            state = source_state(service)
            assert (state["name"], state["healthy"]) == ("main", False)
            assert re.search(rf"main: {prometheus.url}/?: cannot be reached: .*; check that it is", state["error"])
            assert exposed(service, 'forewarn_source_up{source="main"}') == 0
            assert exposed(service, 'forewarn_forecast_source{source="base"}') > 0
        prometheus.start()
        wait_until(lambda: source_state(service)["healthy"], 20, "the source is back")
        assert exposed(service, 'forewarn_source_up{source="main"}') == 1
        back = newest_tick(service)
        assert_filled(config, prometheus, before, back)
        assert service.stop().exit_status == 0
    said = [event["tick"] for event in service.events("source_unavailable")]
    assert len(said) >= 7
    assert len(said) == len(set(said)), "more than one line for a failed source in a tick"
    # on the quick clock the tick that loads the base network takes longer than one step
    assert_calm(service, expected=("source_unavailable", "ticks_skipped"))


def test_an_outage_of_forewarn_is_filled(tmp_path: Path, prometheus: RunningPrometheus) -> None:
    """After an hour away forewarn asks for that hour only, and forecasts from its first tick on."""
    prometheus.start()
    config = quick_config(tmp_path, prometheus)
    with RunningForewarn(config) as service:
        before = newest_tick(service)
        stopped = service.stop()
        assert stopped.exit_status == 0
        assert stopped.seconds < 5
        # The quick clock stands still while nothing runs; so it is set to an hour later.
        away = 12 * STEP_SECONDS
        change_config(config, {"clock": {"start": as_text(before + away)}})
        service.start()
        first = service.events("tick_done")[-1]
        after = newest_tick(service)
        assert before + away <= parse_time(first["at"]) <= after
        assert first["series"] == len(INSTANCES) * len(NODE_QUERIES)
        fetched = exposed(service, 'forewarn_ingest_samples_total{source="main"}')
        assert_filled(config, prometheus, before - away, after)
        assert service.stop().exit_status == 0
    assert fetched <= first["series"] * ((after - before) / STEP_SECONDS + 1), "more than the gap was fetched"
    assert len(service.events("backfill_started")) == 1
    assert_calm(service)


def test_stop_is_quick_even_while_prometheus_hangs(tmp_path: Path, prometheus: RunningPrometheus) -> None:
    """A tick that waits for a Prometheus that does not answer does not hold up SIGTERM, and leaves the store whole."""
    prometheus.start()
    config = quick_config(tmp_path, prometheus, deadline_seconds=120)
    with RunningForewarn(config) as service:
        before = newest_tick(service)
        os.kill(prometheus.pid, signal.SIGSTOP)
        age = "forewarn_forecast_age_seconds"
        wait_until(lambda: exposed(service, age) > 2.5 * STEP_SECONDS, 20, "a tick that waits")
        assert newest_tick(service) - before <= STEP_SECONDS
        stopped = service.stop()
        os.kill(prometheus.pid, signal.SIGCONT)
        assert stopped.exit_status == 0
        assert stopped.seconds < 5
        assert_filled(config, prometheus, before - 12 * STEP_SECONDS, before)
    print(f"SIGTERM while Prometheus hangs took {stopped.seconds:.2f} s")
    assert_calm(service, expected=("source_unavailable", "ticks_skipped"))


def test_unreachable_prometheus_at_start(tmp_path: Path, prometheus: RunningPrometheus) -> None:
    """The service starts without Prometheus and says what it lacks; it gets ready when Prometheus appears."""
    config = quick_config(tmp_path, prometheus)
    with RunningForewarn(config, ready=False) as service:
        wait_until(lambda: bool(service.get("/readyz").json()["sources"]), 20, "the first tick has ended")
        assert service.get("/healthz").status == 200
        answer = service.get("/readyz")
        assert answer.status == 503
        assert "no source has delivered a sample" in answer.json()["problems"][0]
        assert "cannot be reached" in source_state(service)["error"]
        assert service.get("/api/v1/forecasts").json()["total"] == 0
        prometheus.start()
        wait_until(lambda: service.ready, 20, "ready")
        assert source_state(service)["healthy"]
        assert service.stop().exit_status == 0
    assert_calm(service, expected=("source_unavailable",))
