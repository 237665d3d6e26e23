"""The replay: a service that is killed and trains, an Alertmanager, and a receiver of its notifications."""

import random
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import yaml

from daemon.config.loading import default_text
from daemon.core.series import STEP_SECONDS, as_text, parse_time
from tests.servers.alertmanager import RunningAlertmanager
from tests.servers.forewarn import RunningForewarn
from tests.servers.processes import free_port, wait_until
from tests.servers.webhook import WebhookReceiver
from tests.soak.options import BACKFILL_HOURS, SERVERS_SEED, START, Options

_POLL_SECONDS = 0.25
_STUCK_SECONDS = 300
_TRAINING_SECONDS = 900
_MADE_A_MODEL = ("succeeded", "rejected")


@dataclass
class Observed:
    """The observations of a replay.

    Attributes:
        config: configuration of the service; its log is beside it.
        notifications: notifications of Alertmanager, in order.
        resident: tick and resident memory of the service in megabytes.
        killed_at: the ticks in which it was killed.
        killed_in_training: number of kills during a training.
        runs: the trainings, as the service shows them.
        seconds: wall time of the replay.
    """

    config: Path
    notifications: list[dict[str, Any]] = field(default_factory=list)
    resident: list[tuple[int, float]] = field(default_factory=list)
    killed_at: list[int] = field(default_factory=list)
    killed_in_training: int = 0
    runs: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def replay(options: Options, folder: Path) -> tuple[Observed, RunningForewarn]:
    """Run the replay to its end; return the observations and the stopped service."""
    began = time.monotonic()
    with WebhookReceiver() as receiver, RunningAlertmanager(folder / "alertmanager", _routing(receiver)) as manager:
        config = _configuration(folder, options, manager.url)
        service = RunningForewarn(config, ready=False)
        observed = Observed(config)
        service.start()
        try:
            _Replay(options, service, observed).run()
            # time for the last notifications to arrive
            time.sleep(max(3.0, 4 * options.tick_seconds))
        finally:
            service.stop()
        observed.notifications = receiver.notifications()
    observed.seconds = time.monotonic() - began
    return observed, service


class _Replay:
    """Observes the service, kills it and starts trainings at their ticks."""

    def __init__(self, options: Options, service: RunningForewarn, observed: Observed) -> None:
        self._options, self._service, self._observed = options, service, observed
        self._chance = random.Random(options.seed)
        self._kills = options.kill_ticks(self._chance)
        self._trainings = options.training_ticks()
        self._tick = -1
        self._printed = self._checked_trainings = time.monotonic()

    def run(self) -> None:
        """Run until the last tick is done and the trainings have ended."""
        moved = time.monotonic()
        while self._tick < self._options.ticks - 1:
            time.sleep(_POLL_SECONDS)
            before = self._tick
            self._observe()
            if self._tick > before:
                moved = time.monotonic()
            if not self._service.running:
                raise RuntimeError(f"the service ended by itself in tick {self._tick}; see {self._service.log}")
            if time.monotonic() - moved > _STUCK_SECONDS:
                raise TimeoutError(f"no tick after {self._tick} within {_STUCK_SECONDS} s")
            if self._kills and self._tick >= self._kills[0]:
                self._kill()
            if time.monotonic() - self._checked_trainings > 2:
                self._train()
            self._print_progress()
        wait_until(self._trained, _TRAINING_SECONDS, "the end of the trainings")

    def _observe(self) -> None:
        at = self._get("/api/v1/status").get("at")
        if at is not None:
            self._tick = max(self._tick, (parse_time(at) - START) // STEP_SECONDS)
            self._observed.resident.append((self._tick, _resident_megabytes(self._service.pid)))

    def _kill(self) -> None:
        self._kills.pop(0)
        time.sleep(self._chance.uniform(0, 2) * self._options.tick_seconds)
        self._observed.killed_in_training += self._get("/api/v1/training").get("current") is not None
        self._service.kill()
        self._observed.killed_at.append(self._tick)
        self._service.start()

    def _trained(self) -> bool:
        time.sleep(_POLL_SECONDS)
        return self._train() and self._get("/api/v1/training").get("current") is None

    def _train(self) -> bool:
        """Start a training if one is due and none runs; return whether all due trainings are done."""
        self._checked_trainings = time.monotonic()
        state = self._get("/api/v1/training")
        if "runs" in state:
            self._observed.runs = state["runs"]
        due = sum(self._tick >= tick for tick in self._trainings)
        done = sum(run["state"] in _MADE_A_MODEL for run in self._observed.runs)
        if done < due and "runs" in state and state["current"] is None:
            self._service.post("/api/v1/training", {"level": "demo"})
        return done >= due

    def _get(self, path: str) -> dict[str, Any]:
        try:
            document: dict[str, Any] = self._service.get(path).json()
        except (OSError, HTTPException, ValueError):
            # the service has just started or is slow; the next poll is soon
            return {}
        return document

    def _print_progress(self) -> None:
        if time.monotonic() - self._printed < 5:
            return
        self._printed, observed = time.monotonic(), self._observed
        resident = observed.resident[-1][1] if observed.resident else 0
        print(
            f"\rtick {self._tick + 1} of {self._options.ticks}, {len(observed.killed_at)} kills, "
            f"{len(observed.runs)} trainings ended, {resident:.0f} MB ",
            end="",
            file=sys.stderr,
            flush=True,
        )


def _resident_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024 / 1e6


def _configuration(folder: Path, options: Options, alertmanager: str) -> Path:
    path = folder / "config.yaml"
    document = yaml.safe_load(default_text())
    fleet = document["sources"][0] | {"name": "fleet", "seed": SERVERS_SEED, "backfill_hours": BACKFILL_HOURS}
    document |= {
        "data_dir": "data",
        "sources": [fleet],
        "schedule": {"delay_seconds": 0},
        "clock": {"start": as_text(START), "speed": options.speed},
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "logging": {"format": "json"},
        "training": {"level": "demo", "schedule": None, "triggers": [], "max_runs_per_day": 100},
    }
    document["alerting"]["alertmanagers"] = [{"name": "soak", "url": alertmanager}]
    # low thresholds, which servers pass every day
    for metric, (warning, critical) in {"cpu_busy_pct": (55, 70), "mem_used_pct": (60, 75)}.items():
        document["metrics"][metric] |= {"warning": warning, "critical": critical, "profiles": {}}
    path.write_text(yaml.safe_dump(document))
    return path


def _routing(receiver: WebhookReceiver) -> str:
    """Return a configuration of Alertmanager that notifies ``receiver`` once of each alert."""
    route = {
        "receiver": "soak",
        "group_by": ["..."],
        "group_wait": "100ms",
        "group_interval": "300ms",
        "repeat_interval": "24h",
    }
    webhooks = [{"url": receiver.url, "send_resolved": True}]
    return yaml.safe_dump({"route": route, "receivers": [{"name": "soak", "webhook_configs": webhooks}]})
