"""What a replay is judged by."""

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
    """A line of the result; ``met`` is None where nothing is asked of the figure."""

    what: str
    figure: str
    limit: str = ""
    met: bool | None = None


def findings(options: Options, observed: Observed, service: RunningForewarn) -> list[Finding]:
    """Return every figure, and whether it is as it must be."""
    return [
        *_history(options, observed),
        *_alerts(observed),
        *_memory(options, observed),
        *_events(options, observed, service),
    ]


def _none(what: str, count: int, of: int) -> Finding:
    return Finding(what, f"{count} of {of}", "0", count == 0)


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
    """Return how many of ``ticks`` grid times have no sample at all."""
    return ticks - int(np.isfinite(stored.values).any(axis=0).sum())


def wrong_samples(stored: Panel, truth: Panel) -> int:
    """Return how many of the samples that were made are not in the store as they were made."""
    rows = {key: row for row, key in enumerate(stored.keys)}
    gone = [row for row, key in enumerate(truth.keys) if key not in rows]
    there = [row for row, key in enumerate(truth.keys) if key in rows]
    made = truth.values[there]
    found = stored.values[[rows[truth.keys[row]] for row in there]]
    wrong = np.isfinite(made) & (found != made)
    return int(wrong.sum()) + int(np.isfinite(truth.values[gone]).sum())


def _alerts(observed: Observed) -> list[Finding]:
    config = load_config(observed.config)
    store = SqlStore(config.store_url)
    try:
        ledger = [line for line in store.alert_repository().predictions(START) if line.outcome is not Outcome.MISSED]
    finally:
        store.close()
    told = [alert for notification in observed.notifications for alert in notification["alerts"]]
    starts = [alert for alert in told if alert["status"] == "firing"]
    again = told_twice(told)
    too_soon = fired_twice(ledger, 2 * config.alerting.hold_ticks * STEP_SECONDS)
    names = {(alert["labels"].get("server"), alert["labels"].get("metric")) for alert in starts}
    untold = [line for line in ledger if (line.server, line.metric) not in names]
    return [
        Finding("alerts that fired, by the ledger", str(len(ledger)), "1 or more", bool(ledger)),
        Finding(
            "the same by Alertmanager, with those of fleets and silent servers",
            str(len(starts)),
            "1 or more",
            bool(starts),
        ),
        _none("of these, told twice", again, len(starts)),
        _none("in the ledger, fired twice", too_soon, len(ledger)),
        _none("in the ledger, never told", len(untold), len(ledger)),
    ]


def told_twice(told: Iterable[dict[str, Any]]) -> int:
    """Return how often an alert was told to fire, by the same start or another, that was not told to have ended."""
    firing: set[tuple[tuple[str, str], ...]] = set()
    started: set[tuple[tuple[tuple[str, str], ...], str]] = set()
    twice = 0
    for alert in told:
        identity = tuple(sorted(alert["labels"].items()))
        if alert["status"] != "firing":
            firing.discard(identity)
            continue
        twice += identity in firing or (identity, alert["startsAt"]) in started
        firing.add(identity)
        started.add((identity, alert["startsAt"]))
    return twice


def fired_twice(ledger: Sequence[Prediction], least_seconds: int) -> int:
    """Return how many lines came sooner after the one before them than an alert can end and fire again."""
    last: dict[tuple[str, str, str], int] = {}
    twice = 0
    for line in sorted(ledger, key=lambda line: line.made):
        identity = (line.server, line.metric, line.severity)
        twice += identity in last and line.made - last[identity] < least_seconds
        last[identity] = line.made
    return twice


def _memory(options: Options, observed: Observed) -> list[Finding]:
    last = max(observed.killed_at, default=0)
    settled, warm, end = (_resident(observed, ticks) for ticks in (options.settled, options.warm(last), options.end))
    return [
        Finding(f"resident memory from tick {options.settled.start} on", f"{settled:.0f} MB"),
        # the first process took in the back-fill as well, so the last one must not grow either
        Finding(f"from tick {options.warm(last).start} on, after the last start", f"{warm:.0f} MB"),
        Finding(f"from tick {options.end.start} on, to the end", f"{end:.0f} MB"),
        _growth("growth since the first of these", end / settled - 1),
        _growth("growth since the last start", end / warm - 1),
    ]


def _growth(what: str, growth: float) -> Finding:
    # of what was not seen nothing can be said, and that is a failure too
    return Finding(what, f"{growth:+.1%}", f"{MOST_GROWTH:.0%} or less", growth <= MOST_GROWTH)


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
        Finding("ticks skipped, their samples taken in by the next", str(skipped)),
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
