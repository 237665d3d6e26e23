"""Pretraining of the base network: one network for all fleets, trained on many fleets and on random series.

Its breach model is trained afterwards, on the network's forecasts.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import torch

from daemon.breach.model import BreachModel, write_calibration
from daemon.breach.training import PER_SERVER_WEEK, SERVERS, sampled_examples, simulate_incident_set
from daemon.core.errors import NotEnoughHistory
from daemon.core.forecast import ForecasterKind
from daemon.core.metric import Metric
from daemon.core.series import STEPS_PER_DAY, Panel, as_text
from daemon.core.training_info import EpochRecord, write_epochs
from daemon.network.artifact import versions, write_network
from daemon.network.calibration import NONE
from daemon.network.device import choose_device
from daemon.network.fitting import Fit, Plan, Progress, fit
from daemon.network.forecaster import NetworkForecaster
from daemon.network.history import LOOKBACK_STEPS, History
from daemon.network.identity import NO_NAMES
from daemon.network.model import Architecture, TemporalFusionTransformer
from daemon.network.prior_network import learn_base
from daemon.network.sampling import ColdStartSampler, InterleavedSampler, Sampler, WindowSampler, tsmixup
from daemon.network.training import BATCH_SIZE, LEARNING_RATE, TUNING_RATE
from daemon.network.training_record import fingerprint
from daemon.simulation.synthetic import synthetic
from daemon.system.process import keep_freed_memory

PRETRAINING_FILE = "pretraining.json"
SYNTHETIC_SERIES = 160
SYNTHETIC_DAYS = 35
# seeds of fleets that nothing else is trained or measured on
_FIRST_INCIDENT_SEED, _FIRST_SAMPLED_SEED = 20_000, 30_000
_SYNTHETIC_SHARE = 1
# duration of a simulated-incident set, relative to the sampled thresholds of a fleet
_SIMULATED_SET_WORK = 3
_COLD_START_EPOCHS = 2
_STRIDE_STEPS = 96
_VALIDATION_STEPS = 3 * STEPS_PER_DAY
_VALIDATION_STRIDE_STEPS = 48
_FEWEST_DAYS = 8


@dataclass(frozen=True)
class Pretrained:
    """A network for all fleets with its breach model and the record of its pretraining.

    Attributes:
        network: in evaluation mode, on the device of the pretraining.
        fit: result of the fit.
        breach: breach model of its forecasts.
        record: content of ``pretraining.json``.
    """

    network: TemporalFusionTransformer
    fit: Fit
    breach: BreachModel
    record: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write the network, the breach model, the epochs if there are any, and the record into ``folder``."""
        write_network(folder, self.network, None, ZoneInfo("UTC"))
        write_calibration(folder, {"stretch": NONE}, self.breach)
        if self.fit.records:
            write_epochs(folder, self.fit.records)
        (folder / PRETRAINING_FILE).write_text(json.dumps(self.record, indent=2) + "\n", encoding="utf-8")


def pretrain(
    fleets: Mapping[str, Panel],
    zone: ZoneInfo,
    *,
    epochs: int,
    synthetic_fleets: int = 0,
    incident_fleets: int = 0,
    metrics: Mapping[str, Metric] | None = None,
    start: TemporalFusionTransformer | None = None,
    started_from: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    on_step: Progress = lambda epoch, step, steps: None,
    on_breaches: Callable[[float], None] = lambda done: None,
) -> Pretrained:
    """Train a network on all ``fleets``, each with the same weight; the last three days of each choose the epoch.

    The last two epochs, or all of them with ``start``, have a low learning rate and also cold-start windows. The breach
    model is trained afterwards.

    Args:
        fleets: panels by name.
        zone: civil time zone of all fleets.
        epochs: passes over the largest fleet; with 0 only the breach model is trained.
        synthetic_fleets: number of fleets of random series to train on.
        incident_fleets: number of simulated fleets in the simulated-incident training set.
        metrics: thresholds of the simulated fleets, by metric name.
        start: network with the initial weights; random weights if None.
        started_from: the record of ``start``; it becomes part of the new record.
        seed: seed of the initial weights, the mixed series, the origins and the order.
        device: device of the network and the histories; ``choose_device`` decides if None.
        on_epoch: called as each epoch ends.
        on_step: called after each batch.
        on_breaches: called with the finished share of the breach model's training, 0 to 1.

    Raises:
        NotEnoughHistory: a fleet has less than eight days of history.
        ValueError: ``incident_fleets`` is above 0 and there are no thresholds.
    """
    if incident_fleets and not metrics:
        raise ValueError(f"{incident_fleets} fleets with incidents need metrics with thresholds; give metrics")
    keep_freed_memory()
    device = choose_device(device)
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    shares: list[tuple[Sampler, int]] = []
    cold_start: list[tuple[Sampler, int]] = []
    validation: list[tuple[Sampler, int]] = []
    for name, panel in fleets.items():
        if panel.steps < _FEWEST_DAYS * STEPS_PER_DAY:
            days = panel.steps / STEPS_PER_DAY
            raise NotEnoughHistory(
                f"{name}: {days:.1f} days of history, pretraining needs {_FEWEST_DAYS}; leave it out"
            )
        last = panel.steps - _VALIDATION_STEPS
        known = panel.between(panel.start, int(panel.timestamps[last - 1]))
        history = History.from_panel(panel, zone, int(known.timestamps[-1])).to(device)
        shares += [
            (_sampler(history, 0, last, seed), 1),
            (_sampler(_tsmixup(known, zone, generator).to(device), 0, last, seed), 1),
        ]
        cold_start.append((_cold_start_sampler(known, zone, seed, device), 1))
        span = (LOOKBACK_STEPS + last, LOOKBACK_STEPS + panel.steps - 1)
        validation.append((WindowSampler(history, span, _VALIDATION_STRIDE_STEPS, BATCH_SIZE), 1))
    for number in range(synthetic_fleets):
        panel = synthetic(seed + number, SYNTHETIC_SERIES, SYNTHETIC_DAYS)
        history = History.from_panel(panel, zone).to(device)
        shares.append((_sampler(history, 0, panel.steps, seed), _SYNTHETIC_SHARE))
    network = TemporalFusionTransformer(Architecture() if start is None else start.architecture)
    if start is not None:
        network.start_from(start)
    # cold starts come last: from the first epoch on they cost accuracy on known servers
    whole = max(1, epochs - _COLD_START_EPOCHS) if start is None else 0
    early = _Phase(whole, LEARNING_RATE, InterleavedSampler(shares))
    late = _Phase(epochs - whole, TUNING_RATE, InterleavedSampler([*shares, *cold_start]))
    phases = [phase for phase in (early, late) if phase.epochs] or [late]
    fitted = _fit(network, phases, InterleavedSampler(validation), device=device, on_epoch=on_epoch, on_step=on_step)
    record = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_by": "forewarn pretrain",
        "epochs": len(fitted.records),
        "best_epoch": fitted.best_epoch,
        "seed": seed,
        "started_from": started_from,
        "fleets": [
            {
                "name": name,
                "servers": len({key.server for key in panel.keys}),
                "metrics": sorted({key.metric for key in panel.keys}),
                "from": as_text(panel.start),
                "to": as_text(panel.end),
                "fingerprint": fingerprint(panel),
            }
            for name, panel in fleets.items()
        ],
        "synthetic": {"fleets": synthetic_fleets, "series": SYNTHETIC_SERIES, "days": SYNTHETIC_DAYS},
        "incidents": {"fleets": incident_fleets, "servers": SERVERS, "per_server_week": PER_SERVER_WEEK},
        "versions": versions(),
    }
    further = {
        f"synthetic {number}": synthetic(_FIRST_SAMPLED_SEED + seed + number, SYNTHETIC_SERIES, SYNTHETIC_DAYS)
        for number in range(synthetic_fleets)
    }
    breach = learn_breach_model(
        network,
        {**fleets, **further},
        zone,
        metrics=metrics or {},
        incident_fleets=incident_fleets,
        seed=seed,
        on_progress=on_breaches,
    )
    return Pretrained(network, fitted, breach, record)


class _Phase(NamedTuple):
    epochs: int
    learning_rate: float
    training: InterleavedSampler


def _fit(
    network: TemporalFusionTransformer,
    phases: Sequence[_Phase],
    validation: InterleavedSampler,
    *,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None],
    on_step: Progress,
) -> Fit:
    """Fit in phases and return them as one fit; without an epoch the weights stay as they are."""
    records: list[EpochRecord] = []
    for phase in phases:
        before = len(records)

        def note(record: EpochRecord, before: int = before) -> None:
            records.append(replace(record, epoch=before + record.epoch))
            on_epoch(records[-1])

        def step(epoch: int, done: int, steps: int, before: int = before) -> None:
            on_step(before + epoch, done, steps)

        plan = Plan(
            epochs=phase.epochs, learning_rate=phase.learning_rate, patience_epochs=None, keep_start=not phase.epochs
        )
        fitted = fit(network, phase.training, validation, plan=plan, device=device, on_epoch=note, on_step=step)
    best = None if fitted.best_epoch is None else before + fitted.best_epoch
    return replace(fitted, records=tuple(records), best_epoch=best)


def learn_breach_model(
    network: TemporalFusionTransformer,
    fleets: Mapping[str, Panel],
    zone: ZoneInfo,
    *,
    metrics: Mapping[str, Metric],
    incident_fleets: int,
    seed: int,
    on_progress: Callable[[float], None] = lambda done: None,
) -> BreachModel:
    """Return the breach model of the forecasts of ``network``.

    Args:
        network: in evaluation mode.
        fleets: panels by name; the breach model is trained on sampled thresholds of their series.
        zone: civil time zone of all fleets.
        metrics: thresholds of the simulated fleets, by metric name.
        incident_fleets: number of simulated fleets in the simulated-incident training set.
        seed: seed of the sampled thresholds, the simulated fleets and the weights.
        on_progress: called with the finished share, 0 to 1.
    """
    forecaster = NetworkForecaster(
        network=network, vocabulary=None, metrics={}, zone=zone, model="", kind=ForecasterKind.BASE
    )
    work = len(fleets) + _SIMULATED_SET_WORK * incident_fleets
    sampled, incident_sets = [], []
    for done, panel in enumerate(fleets.values()):
        sampled.append(sampled_examples(panel, panel.end, forecaster, seed))
        on_progress((done + 1) / work)
    for number in range(incident_fleets):
        part = partial(
            _report_part, on_progress, (len(fleets) + _SIMULATED_SET_WORK * number) / work, _SIMULATED_SET_WORK / work
        )
        incident_sets.append(
            simulate_incident_set(forecaster, metrics, _FIRST_INCIDENT_SEED + seed + number, on_progress=part)
        )
    return learn_base(sampled, incident_sets, seed)


def _report_part(report: Callable[[float], None], before: float, share: float, done: float) -> None:
    report(before + share * done)


def _tsmixup(panel: Panel, zone: ZoneInfo, generator: np.random.Generator) -> History:
    return History.from_panel(tsmixup(panel, generator), zone)


def _cold_start_sampler(panel: Panel, zone: ZoneInfo, seed: int, device: torch.device) -> ColdStartSampler:
    # one batch is enough: a pass ends when the longest sampler has ended, and shorter ones start again
    return ColdStartSampler(
        panel=panel, zone=zone, vocabulary=NO_NAMES, batches=1, batch_size=BATCH_SIZE, seed=seed, device=device
    )


def _sampler(history: History, first: int, last: int, seed: int) -> WindowSampler:
    span = (LOOKBACK_STEPS + first, LOOKBACK_STEPS + last - 1)
    return WindowSampler(history, span, _STRIDE_STEPS, BATCH_SIZE, seed)
