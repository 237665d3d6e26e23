"""The service as a process: killed, stopped, started twice, beside other users of its store, without its model."""

import random
import shutil
import socket
import sqlite3
import threading
import time
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import yaml

from daemon.config.loading import default_text, load_config
from daemon.core.series import STEP_SECONDS, Panel, SeriesKey, as_text, parse_time
from daemon.ingest.metrics_file import read_metrics_file
from daemon.models.registry import ModelRegistry
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec
from daemon.store.history import SqlStore
from tests.servers.awkward import tcp_server
from tests.servers.forewarn import RunningForewarn, change_config, forewarn, simulated, write_config
from tests.servers.processes import STOP_DEADLINE_SECONDS, free_port, wait_until

COUNTS = {"ml_compute": 1, "database": 1, "web_api": 1}
SEED = 5
START = parse_time("2026-01-10T00:00:00Z")
SPEED = 600
TICK_SECONDS = STEP_SECONDS / SPEED
PUSHED = "mem_used_pct"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Three simulated servers on a clock that passes a grid time in half a second, and pushes."""
    return write_config(
        tmp_path,
        sources=[simulated(48, SEED, **COUNTS), {"name": "push", "type": "push"}],
        clock={"start": as_text(START), "speed": SPEED},
        http={"listen": f"127.0.0.1:{free_port()}", "requests_per_minute": 0},
    )


class Pusher:
    """Push to the service without a pause, each series and time once, and record the acknowledged samples."""

    def __init__(self, service: RunningForewarn) -> None:
        self._service = service
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._push)
        self._sent: set[tuple[str, int]] = set()
        self.acknowledged: dict[tuple[str, int], float] = {}
        self.refused: list[str] = []

    def __enter__(self) -> "Pusher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _push(self) -> None:
        chance = random.Random(1)
        while not self._over.wait(0.01):
            try:
                newest = parse_time(self._service.get("/api/v1/status").json()["at"])
                batch = {self._unsent(f"pushed-{chance.randrange(9)}", newest): chance.uniform(0, 99) for _ in range(5)}
                records = [
                    {"timestamp": as_text(at), "server": server, "metric": PUSHED, "value": value}
                    for (server, at), value in batch.items()
                ]
                answer = self._service.post("/api/v1/metrics", records)
            except (OSError, HTTPException, ValueError, TypeError):
                # the service was killed before it answered, or has had no tick yet: no acknowledgement
                continue
            if answer.status == 200:
                self.acknowledged |= batch
            else:
                self.refused.append(answer.text)

    def _unsent(self, server: str, at: int) -> tuple[str, int]:
        while (server, at) in self._sent:
            at -= STEP_SECONDS
        self._sent.add((server, at))
        return server, at


@pytest.mark.parametrize("kills", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_9_again_and_again_loses_nothing(config: Path, kills: int) -> None:
    """After each kill the store has every acknowledged sample and no gap, and the service continues."""
    chance = random.Random(7)
    service = RunningForewarn(config, ready=False)
    starts, in_mid_tick, down = [], 0, 0
    with Pusher(service) as pusher:
        for kill in range(kills):
            ticks = len(service.events("tick_done")) if service.log.exists() else 0
            starts.append(service.start())
            if kill % 4 == 3:
                # in the middle of its start, or of the back-fill
                time.sleep(chance.uniform(0, 0.3))
            else:
                # the first tick after a start is not as long as the others
                wait_until(lambda more=ticks + 2: len(service.events("tick_done")) >= more, 30, "ticks after a kill")
                assert service.ready
                sleep_into_next_tick(service, chance)
            service.kill()
            done = parse_time(service.events("tick_done")[-1]["at"])
            reached = watermark(config)
            in_mid_tick += reached > done
            # some restarts follow at once, some after up to three hours
            away = chance.choice((0, 0, chance.randrange(36))) * STEP_SECONDS
            down += away > 0
            change_config(config, {"clock": {"start": as_text(reached + STEP_SECONDS + away)}})
        service.start()
        wait_until(lambda: service.ready, 30, "ready after the last kill")
        before = len(service.events("tick_done"))
        wait_until(lambda: len(service.events("tick_done")) >= before + 3, 30, "three more ticks")
    assert service.stop().exit_status == 0
    acknowledged, ticks = pusher.acknowledged, service.ticks()
    print(
        f"\n{kills} kills, {in_mid_tick} of them between a tick's transaction and its end, {down} followed by an "
        f"outage; {len(ticks)} ticks, {len(acknowledged)} pushed samples acknowledged; "
        f"start {median(starts):.1f} s, at most {max(starts):.1f} s"
    )
    assert not pusher.refused
    assert len(acknowledged) > kills
    assert not service.events("tick_failed")
    stored = history(config)
    rows = {key: row for row, key in enumerate(stored.keys)}
    lost = [
        (server, as_text(at))
        for (server, at), value in acknowledged.items()
        if stored.values[rows[SeriesKey(server, PUSHED)], (at - stored.start) // STEP_SECONDS] != np.float32(value)
    ]
    assert not lost
    assert set(ticks) <= set(stored.timestamps.tolist())
    first, last = min(ticks), watermark(config)
    assert last >= max(ticks)
    assert_complete(stored, first, last)


def sleep_into_next_tick(service: RunningForewarn, chance: random.Random) -> None:
    """Sleep until a random moment of the next tick, estimated from the end and the length of the last one."""
    last = service.events("tick_done")[-1]
    ended = datetime.fromisoformat(last["timestamp"]).timestamp()
    began = ended - last["seconds"]
    moment = began + TICK_SECONDS + chance.uniform(0, 1.2) * last["seconds"]
    time.sleep(max(0.0, moment - time.time()))


def watermark(config: Path) -> int:
    """Return the newest grid time of the simulator in the store; check the integrity of the store."""
    path = load_config(config).store_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    newest = newest_stored(config)
    assert newest is not None
    return newest


def newest_stored(config: Path) -> int | None:
    """Return the watermark of the simulator; None before the first one."""
    store = SqlStore(load_config(config).store_url)
    try:
        return store.watermarks().get(("fleet", "fleet"))
    finally:
        store.close()


def history(config: Path) -> Panel:
    store = SqlStore(load_config(config).store_url)
    try:
        span = store.span()
        assert span is not None
        return store.read(*span)
    finally:
        store.close()


def assert_complete(stored: Panel, first: int, last: int) -> None:
    """Check that the stored samples of the simulated servers equal those of the simulator at every grid time."""
    truth = Fleet(FleetSpec(counts=COUNTS, seed=SEED)).panel(first, last)
    rows = {key: row for row, key in enumerate(stored.keys)}
    found = stored.between(first, last).values[[rows[key] for key in truth.keys]]
    wrong = ~((found == truth.values) | (np.isnan(found) & np.isnan(truth.values)))
    assert not wrong.any(), [as_text(int(at)) for at in truth.timestamps[wrong.any(axis=0)][:5]]


def test_sigterm_stops_an_idle_service(config: Path) -> None:
    """Between two ticks the service stops with exit status 0."""
    change_config(config, {"clock": {"speed": 1}})
    with RunningForewarn(config) as service:
        stopped = service.stop()
    print(f"\nstopped idle in {stopped.seconds:.2f} s")
    assert stopped.exit_status == 0


def test_sigterm_stops_a_service_that_back_fills(config: Path) -> None:
    """A stop in a long back-fill ends it between two days; the days before it are stored."""
    change_config(config, {"sources": [simulated(720, SEED, ml_compute=40, database=40, web_api=40)]})
    service = RunningForewarn(config, ready=False)
    service.start()
    wait_until(lambda: newest_stored(config) is not None, 30, "the first day of the back-fill")
    stopped = service.stop()
    print(f"\nstopped in a back-fill in {stopped.seconds:.2f} s")
    assert stopped.exit_status == 0
    assert watermark(config) < START
    assert not service.events("tick_failed")


def test_sigterm_stops_a_tick_that_waits_for_a_source(config: Path) -> None:
    """A tick that waits for a source without an answer does not delay the stop: the wait would outlast its deadline."""
    asked = threading.Event()

    def never_answers(connection: socket.socket, over: threading.Event) -> None:
        asked.set()
        over.wait()

    with tcp_server(never_answers) as port:
        source = {"name": "mute", "type": "prometheus", "url": f"http://127.0.0.1:{port}", "queries": {PUSHED: "up"}}
        patience = {"timeout_seconds": 10 * STOP_DEADLINE_SECONDS, "deadline_seconds": 10 * STOP_DEADLINE_SECONDS}
        change_config(config, {"sources": [source | patience]})
        service = RunningForewarn(config, ready=False)
        service.start()
        wait_until(asked.is_set, 10, "the request to the source")
        stopped = service.stop()
    print(f"\nstopped while a source was silent in {stopped.seconds:.2f} s")
    assert stopped.exit_status == 0


def test_a_second_instance_on_the_same_port_is_refused(config: Path) -> None:
    """The second instance ends with exit status 1 and names the address; the first one continues."""
    with RunningForewarn(config) as service:
        second = forewarn("run", "--config", config, folder=config.parent, status=1)
        assert service.ready
    address = service.url.removeprefix("http://")
    assert f"http.listen: {address} cannot be bound" in second.stderr
    assert "choose another port" in second.stderr
    assert second.stderr.count("\n") == 1


def test_a_restart_goes_on_where_it_was(config: Path) -> None:
    """After a restart the first tick forecasts all series from the stored history and fetches nothing again."""
    with RunningForewarn(config) as service:
        before = service.get("/api/v1/status").json()
        seconds = service.restart()
        after = service.get("/api/v1/status").json()
    print(f"\nready {seconds:.2f} s after a start on two days of history")
    assert parse_time(after["at"]) >= parse_time(before["at"])
    assert after["forecast_source"] == before["forecast_source"]
    assert after["servers"] == len(COUNTS)
    assert len(service.events("backfill_started")) == 1
    ticks = service.ticks()
    assert_complete(history(config), ticks[0], ticks[-1])


def test_others_read_and_write_the_store_meanwhile(config: Path) -> None:
    """Export and import work beside the running service, and its next tick has the imported series."""
    folder = config.parent
    lines = [f"{as_text(START - step * STEP_SECONDS)},imported-01,{PUSHED},{40 + step % 7}" for step in range(600)]
    (folder / "more.csv").write_text("\n".join(["timestamp,server,metric,value", *lines]) + "\n")
    with RunningForewarn(config) as service:
        forewarn("export", "before.parquet", "--config", config, folder=folder)
        done = forewarn("import", "more.csv", "--config", config, folder=folder)
        assert "600 samples new or changed" in done.stdout
        wait_until(lambda: service.get("/api/v1/servers/imported-01").status == 200, 10, "the imported server")
        forecasts = service.get("/api/v1/forecasts?server=imported-01").json()
        forewarn("export", "after.parquet", "--config", config, folder=folder)
        assert service.ready
    assert forecasts["total"] == 1
    assert not service.events("tick_failed")
    exported = read_metrics_file(folder / "before.parquet")
    assert_complete(exported, exported.start, exported.end)
    after = read_metrics_file(folder / "after.parquet")
    assert SeriesKey("imported-01", PUSHED) in after.keys
    assert after.end > exported.end


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one untrained model, which loads and forecasts."""
    from daemon.breach.model import base_breach_model, write_calibration
    from daemon.network.artifact import write_network
    from daemon.network.model import Architecture, TemporalFusionTransformer

    folder = tmp_path_factory.mktemp("untrained") / "models"
    vocabulary = tuple(sorted(yaml.safe_load(default_text())["metrics"]))
    with ModelRegistry(folder).new() as (name, model):
        write_network(model, TemporalFusionTransformer(Architecture()), vocabulary, ZoneInfo("UTC"))
        write_calibration(model, {"stretch": [1] * 7}, base_breach_model())
    ModelRegistry(folder).promote(name, "by a test")
    return folder


def garble(models: Path) -> None:
    (models / "current").write_bytes(b"\xff\xfe\x00")


def replace_by_folder(models: Path) -> None:
    (models / "current").unlink()
    (models / "current").mkdir()


def take_away(models: Path) -> None:
    shutil.rmtree(models / (models / "current").read_text().strip())


def name_nothing(models: Path) -> None:
    (models / "current").write_text("20200101T000000Z-00000000\n")


def test_a_lost_model_keeps_serving_and_is_visible(config: Path, untrained: Path) -> None:
    """The loaded model serves without its files; the status has the error until the files are back."""
    models = config.parent / "data" / "models"
    shutil.copytree(untrained, models)
    name = (models / "current").read_text().strip()
    with RunningForewarn(config) as service:

        def status() -> Any:
            return service.get("/api/v1/status").json()

        assert status()["model"] == name
        for harm in (garble, replace_by_folder, name_nothing, take_away):
            harm(models)
            wait_until(lambda: bool(status()["model_error"]), 10, f"an error after {harm.__name__}")
            harmed = status()
            assert (harmed["model"], harmed["ready"]) == (name, True)
            assert harmed["forecast_source"]["model"] > 0
            assert str(models) in harmed["model_error"]
            shutil.rmtree(models)
            shutil.copytree(untrained, models)
            wait_until(lambda: not status()["model_error"], 10, f"no error after {harm.__name__} was undone")
    assert not service.events("tick_failed")
    assert len(service.events("model_unusable")) == 4
    assert len(service.events("model_loaded")) == 1


def test_without_a_usable_model_others_serve_and_the_status_has_the_reason(config: Path, untrained: Path) -> None:
    """The service starts without its model; the model serves as soon as it is back."""
    models = config.parent / "data" / "models"
    shutil.copytree(untrained, models)
    take_away(models)
    with RunningForewarn(config) as service:
        status = service.get("/api/v1/status").json()
        assert (status["model"], status["ready"]) == ("", True)
        assert status["forecast_source"]["base"] + status["forecast_source"]["baseline"] > 0
        assert str(models) in status["model_error"]
        shutil.rmtree(models)
        shutil.copytree(untrained, models)
        wait_until(lambda: service.get("/api/v1/status").json()["model"] != "", 30, "the model")
    assert not service.events("tick_failed")
