"""``forewarn demo``: simulates servers, trains a model and serves forecasts, in one command."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import typer
import yaml

from daemon.config.loading import default_text, load_config
from daemon.core.forecast import ForecasterKind
from daemon.core.series import as_text
from daemon.service.build import build_service
from daemon.service.lifecycle import Service
from daemon.system.files import atomic_path

_REFUSED = 3
_POLL_SECONDS = 0.1
_TRAINING_END_SECONDS = 3


def run_demo(folder: Path, speed: float, listen: str) -> None:
    """Run the demo in ``folder`` until it is stopped; a second run continues after the first one."""
    started = time.monotonic()
    config_file = folder / "config.yaml"
    _write_config(config_file, speed, listen)
    config = load_config(config_file)
    service = build_service(config, config_file)
    url = f"http://{config.http.host}:{service.port}"
    narration = threading.Thread(target=_train_and_report, args=(service, config_file, url, started), daemon=True)
    narration.start()
    service.run_until_signalled()
    narration.join()
    if service.ticking:
        os._exit(0)


def _write_config(path: Path, speed: float, listen: str) -> None:
    document = yaml.safe_load(default_text())
    document |= {
        "data_dir": "data",
        "clock": {"speed": speed},
        "training": {"level": "demo", "schedule": None, "triggers": []},
    }
    document["http"]["listen"] = listen
    document["schedule"]["delay_seconds"] = 0
    document["logging"]["level"] = "warning"
    with atomic_path(path) as temporary:
        text = "# Written by forewarn demo at each start.\n" + yaml.safe_dump(document, sort_keys=False)
        temporary.write_text(text, encoding="utf-8")


def _train_and_report(service: Service, config_file: Path, url: str, started: float) -> None:
    """Train as soon as there is a history, and print each step."""

    def report(text: str) -> None:
        typer.echo(f"[{time.monotonic() - started:5.1f} s] {text}")

    report("simulating a week of 20 servers")
    if not _wait_for(service, *ForecasterKind):
        return
    snapshot = service.snapshot_cache.snapshot
    if snapshot is not None:
        report(
            f"{len(snapshot.servers)} servers, {len(snapshot.forecast.keys)} series; until a model is trained, the "
            f"base network and the climatology serve, from {as_text(snapshot.at)} on: {url}/metrics"
        )
    report("training at demo level: one pass over the week")
    command = [sys.executable, "-m", "daemon", "train", "--level", "demo", "--config", str(config_file)]
    # in its own session, so that Ctrl-C of a terminal reaches it only through this process
    training = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our own
    while training.poll() is None:
        if service.stopping:
            _end(training)
            return
        time.sleep(_POLL_SECONDS)
    if service.stopping:
        return
    if training.returncode == _REFUSED:
        report(f"the gate rejected the model, see above; the forecaster does not change. See {url}/metrics")
        return
    if training.returncode:
        report("training failed, see above; the forecaster does not change")
        return
    report("trained; the model serves from the next tick")
    if _wait_for(service, ForecasterKind.MODEL):
        report(f"first model forecast. See {url}/metrics, {url}/docs and {url}/api/v1/forecasts?server=web-01")
        report(f"POST {url}/api/v1/scenarios starts an incident on its servers; docs/scenarios.md has examples")
        report("Ctrl-C stops it; a second run continues after this one")


def _end(training: subprocess.Popen[bytes]) -> None:
    """Interrupt a training, so that it removes its temporary files."""
    training.send_signal(signal.SIGINT)
    try:
        training.wait(_TRAINING_END_SECONDS)
    except subprocess.TimeoutExpired:
        training.kill()
        training.wait()


def _wait_for(service: Service, *kinds: ForecasterKind) -> bool:
    while not service.stopping:
        snapshot = service.snapshot_cache.snapshot
        if snapshot is not None and any(snapshot.series_by_forecaster.get(kind) for kind in kinds):
            return True
        time.sleep(_POLL_SECONDS)
    return False
