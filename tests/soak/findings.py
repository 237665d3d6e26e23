"""The findings of a soak: figures of a replay, each with its limit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from daemon.alerting.outcomes import Outcome, Prediction
from daemon.config.loading import load_config
from daemon.core.series import STEP_SECONDS, Panel
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec
from daemon.store.history import SqlStore
from tests.servers.forewarn import RunningForewarn
from tests.soak.options import SERVERS_SEED, START, Options
from tests.soak.replay import Observed

MOST_GROWTH = 0.1
_MADE_A_MODEL = ("succeeded", "rejected")


@dataclass(frozen=True)
class Finding:
    """A line of the result; ``met`` is None for a figure without a limit."""

    name: str
    figure: str
    limit: str = ""
    met: bool | None = None


def findings(options: Options, observed: Observed, service: RunningForewarn) -> list[Finding]:
    """Return every figure, and whether it meets its limit."""
    return [
        *_history(options, observed),
        *_alerts(observed),
        *_memory(options, observed),
        *_events(options, observed, service),
    ]


def _none(name: str, count: int, of: int) -> Finding:
    return Finding(name, f"{count} of {of}", "0", count == 0)


def _history(options: Options, observed: Observed) -> list[Finding]:
    first, last = START, START + (options.ticks - 1) * STEP_SECONDS
    store = SqlStore(load_config(observed.config).store_url)
    try:
        stored = store.read(first, last)
    finally:
        store.close()
    truth = Fleet(FleetSpec(seed=SERVERS_SEED)).panel(first, last)
    return [
        _none("grid times without a sample", ticks_without_samples(stored, options.ticks), options.ticks),
        _none("samples lost or changed", wrong_samples(stored, truth), int(np.isfinite(truth.values).sum())),
    ]


def ticks_without_samples(stored: Panel, ticks: int) -> int:
    """Return the number of the ``ticks`` grid times without any sample."""
    return ticks - int(np.isfinite(stored.values).any(axis=0).sum())


def wrong_samples(stored: Panel, truth: Panel) -> int:
    """Return the number of samples of ``truth`` that are missing or different in ``stored``."""
    rows = {key: row for row, key in enumerate(stored.keys)}
    missing = [row for row, key in enumerate(truth.keys) if key not in rows]
    present = [row for row, key in enumerate(truth.keys) if key in rows]
    made = truth.values[present]
    found = stored.values[[rows[truth.keys[row]] for row in present]]
    wrong = np.isfinite(made) & (found != made)
    return int(wrong.sum()) + int(np.isfinite(truth.values[missing]).sum())


def _alerts(observed: Observed) -> list[Finding]:
    config = load_config(observed.config)
    store = SqlStore(config.store_url)
    try:
        predictions = store.alert_repository().predictions(START)
        fired = [each for each in predictions if each.outcome is not Outcome.MISSED]
    finally:
        store.close()
    notified = [alert for notification in observed.notifications for alert in notification["alerts"]]
    starts = [alert for alert in notified if alert["status"] == "firing"]
    again = notified_twice(notified)
    too_soon = fired_twice(fired, 2 * config.alerting.hold_ticks * STEP_SECONDS)
    names = {(alert["labels"].get("server"), alert["labels"].get("metric")) for alert in starts}
    without = [each for each in fired if (each.server, each.metric) not in names]
    return [
        Finding("alerts that fired, by the prediction log", str(len(fired)), "1 or more", bool(fired)),
        Finding(
            "the same by Alertmanager, with group alerts and stale servers",
            str(len(starts)),
            "1 or more",
            bool(starts),
        ),
        _none("of these, notified twice", again, len(starts)),
        _none("in the prediction log, fired twice", too_soon, len(fired)),
        _none("in the prediction log, never notified", len(without), len(fired)),
    ]


def notified_twice(notified: Iterable[dict[str, Any]]) -> int:
    """Return the number of firing notifications of an alert that already fires, or with the start of an earlier one."""
    firing: set[tuple[tuple[str, str], ...]] = set()
    started: set[tuple[tuple[tuple[str, str], ...], str]] = set()
    twice = 0
    for alert in notified:
        identity = tuple(sorted(alert["labels"].items()))
        if alert["status"] != "firing":
            firing.discard(identity)
            continue
        twice += identity in firing or (identity, alert["startsAt"]) in started
        firing.add(identity)
        started.add((identity, alert["startsAt"]))
    return twice


def fired_twice(predictions: Sequence[Prediction], least_seconds: int) -> int:
    """Return the number of predictions that follow the previous one of their alert in less than ``least_seconds``."""
    last: dict[tuple[str, str, str], int] = {}
    twice = 0
    for each in sorted(predictions, key=lambda each: each.made):
        identity = (each.server, each.metric, each.severity)
        twice += identity in last and each.made - last[identity] < least_seconds
        last[identity] = each.made
    return twice


def _memory(options: Options, observed: Observed) -> list[Finding]:
    last = max(observed.killed_at, default=0)
    settled, warm, end = (_resident(observed, ticks) for ticks in (options.settled, options.warm(last), options.end))
    return [
        Finding(f"resident memory from tick {options.settled.start} on", f"{settled:.0f} MB"),
        # the first process also read the back-fill, so the last process has its own limit
        Finding(f"from tick {options.warm(last).start} on, after the last start", f"{warm:.0f} MB"),
        Finding(f"from tick {options.end.start} on, to the end", f"{end:.0f} MB"),
        _growth("growth since the first of these", end / settled - 1),
        _growth("growth since the last start", end / warm - 1),
    ]


def _growth(name: str, growth: float) -> Finding:
    # without observations the growth is NaN, which fails too
    return Finding(name, f"{growth:+.1%}", f"{MOST_GROWTH:.0%} or less", growth <= MOST_GROWTH)


def _resident(observed: Observed, ticks: range) -> float:
    sizes = [size for tick, size in observed.resident if tick in ticks]
    return median(sizes) if sizes else float("nan")


def _events(options: Options, observed: Observed, service: RunningForewarn) -> list[Finding]:
    done, failed = service.events("tick_done"), service.events("tick_failed")
    skipped = sum(event["count"] for event in service.events("ticks_skipped"))
    seconds = sorted(event["seconds"] for event in done)
    models = sum(run["state"] in _MADE_A_MODEL for run in observed.runs)
    return [
        _none("ticks that failed", len(failed), len(done) + len(failed)),
        Finding("ticks skipped, their samples read by the next tick", str(skipped)),
        Finding(
            "tick, median and 95th percentile", f"{median(seconds):.2f} s, {seconds[len(seconds) * 95 // 100]:.2f} s"
        ),
        Finding("kills", str(len(observed.killed_at)), str(options.kills), len(observed.killed_at) == options.kills),
        Finding("of these, during a training", str(observed.killed_in_training)),
        Finding(
            "trainings that made a model", str(models), f"{options.trainings} or more", models >= options.trainings
        ),
        *(
            Finding(f"training {number}", f"{run['state']}, {run['attempt']} attempts, {run['seconds']:.0f} s")
            for number, run in enumerate(observed.runs[::-1], 1)
        ),
        Finding("wall time", f"{observed.seconds / 60:.1f} min"),
    ]
