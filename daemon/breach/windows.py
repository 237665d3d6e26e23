"""Windows of the past with what became of them: what the probability of a breach is learned and measured on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.breach.definition import (
    BREACH_STEPS,
    CLEAR_STEPS,
    ONSET_STEPS,
    MonitoredThreshold,
    Severity,
    breached,
    first_onset,
    monitored_thresholds,
    past,
)
from daemon.breach.features import FEATURES, HISTORY_STEPS, SameHourHistory, features
from daemon.core.forecast import Forecast, Forecaster
from daemon.core.metric import Direction, Metric
from daemon.core.series import (
    GENERIC_PROFILE,
    HORIZON_STEPS,
    STEP_SECONDS,
    STEPS_PER_WEEK,
    Bool,
    Float32,
    Float64,
    Panel,
    SeriesKey,
)

_AT_ONCE = 512
_KNOWN_SHARE = 0.5


@dataclass(frozen=True)
class Windows:
    """Thresholds at an origin, everything turned so that high is bad.

    Attributes:
        history: ``(windows, HISTORY_STEPS)``, the origin last.
        paths: ``(windows, HORIZON_STEPS, quantiles)``.
        thresholds: ``(windows,)``.
    """

    history: Float32
    paths: Float32
    thresholds: Float32

    @classmethod
    def turned(cls, history: Float32, paths: Float32, thresholds: npt.ArrayLike, above: Bool) -> "Windows":
        """Turn those windows over whose threshold is bad below."""
        sign = np.where(above, 1, -1).astype(np.float32)
        upright = np.where(above[:, None, None], paths, -paths[..., ::-1])
        return cls(history * sign[:, None], upright, np.asarray(thresholds, np.float32) * sign)

    def select(self, rows: npt.NDArray[np.intp] | Bool) -> "Windows":
        """Return some of the windows."""
        return Windows(self.history[rows], self.paths[rows], self.thresholds[rows])

    def described(self) -> tuple[Float64, SameHourHistory]:
        """Return the features, ``(windows, features)``, and the past that is among them."""
        days = SameHourHistory.of(self.history, self.thresholds)
        return features(self.history, self.paths, self.thresholds, days), days

    @property
    def quiet(self) -> Bool:
        """Whether the last QUIET_STEPS are known in part and saw no breach, and none has perhaps begun."""
        bad = past(self.history[:, -ONSET_STEPS:], self.thresholds[:, None])
        begun = breached(bad)[:, -CLEAR_STEPS:].any(axis=1) | bad[:, 1 - BREACH_STEPS :].any(axis=1)
        return np.asarray(~begun & np.isfinite(self.history[:, -CLEAR_STEPS:]).any(axis=1))


@dataclass(frozen=True)
class Examples:
    """Quiet windows whose outcome is known.

    Attributes:
        features: ``(windows, features)``.
        onset: ``(windows,)`` step at which the breach began, 1 to HORIZON_STEPS; 0 where none did.
        monitored: whose window each is.
        origins: ``(windows,)`` epoch seconds.
    """

    features: Float64
    onset: npt.NDArray[np.intp]
    monitored: tuple[MonitoredThreshold, ...]
    origins: npt.NDArray[np.int64]

    @property
    def happened(self) -> Bool:
        """Whether a breach began."""
        return np.asarray(self.onset > 0)

    def where(self, chosen: Callable[[MonitoredThreshold], bool]) -> "Examples":
        """Return the windows of the chosen thresholds."""
        return self.select(np.flatnonzero([chosen(watch) for watch in self.monitored]))

    def select(self, rows: npt.NDArray[np.intp]) -> "Examples":
        """Return some of the windows."""
        kept = tuple(self.monitored[row] for row in rows.tolist())
        return Examples(self.features[rows], self.onset[rows], kept, self.origins[rows])

    @classmethod
    def concatenate(cls, parts: Sequence["Examples"]) -> "Examples":
        """Return the windows of all parts."""
        return cls(
            np.concatenate([np.empty((0, len(FEATURES))), *(part.features for part in parts)]),
            np.concatenate([np.empty(0, np.intp), *(part.onset for part in parts)]),
            tuple(watch for part in parts for watch in part.monitored),
            np.concatenate([np.empty(0, np.int64), *(part.origins for part in parts)]),
        )


ThresholdSampler = Callable[[Panel, int, tuple[SeriesKey, ...]], Sequence[MonitoredThreshold]]
"""Return the thresholds to look at, given the panel, an origin, and the series that have a forecast there."""


def configured(metrics: Mapping[str, Metric]) -> ThresholdSampler:
    """Choose the thresholds of the configuration."""

    def choose(panel: Panel, origin: int, keys: tuple[SeriesKey, ...]) -> list[MonitoredThreshold]:
        profile = panel.profiles.get
        return [
            each for key in keys for each in monitored_thresholds(key, profile(key.server, GENERIC_PROFILE), metrics)
        ]

    return choose


def examples(
    panel: Panel, origins: Iterable[int], forecaster: Forecaster, samplers: Sequence[ThresholdSampler]
) -> list[Examples]:
    """Return, for each of ``samplers``, the quiet windows at ``origins`` (epoch seconds) that are known afterwards."""
    parts: list[list[Examples]] = [[] for _ in samplers]
    row_of = {key: row for row, key in enumerate(panel.keys)}
    for origin in origins:
        forecast = forecaster.forecast(panel, origin)
        before = history_of(panel, origin)
        after = panel.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS).values
        for choose, found in zip(samplers, parts, strict=True):
            monitored = choose(panel, origin, forecast.keys)
            for first in range(0, len(monitored), _AT_ONCE):
                some = monitored[first : first + _AT_ONCE]
                rows = [row_of[watch.key] for watch in some]
                found.append(judged(windows_of(some, forecast, before[rows]), after[rows], some, origin))
    return [Examples.concatenate(found) for found in parts]


def history_of(panel: Panel, origin: int) -> Float32:
    """Return the HISTORY_STEPS up to ``origin`` of every series of ``panel``."""
    return panel.between(origin - (HISTORY_STEPS - 1) * STEP_SECONDS, origin).values


def windows_of(monitored: Sequence[MonitoredThreshold], forecast: Forecast, history: Float32) -> Windows:
    """Return the windows of thresholds at the origin of ``forecast``; ``history`` has a row for each of them."""
    row_of = {key: row for row, key in enumerate(forecast.keys)}
    paths = forecast.paths[[row_of[watch.key] for watch in monitored]]
    above = np.array([watch.direction is Direction.ABOVE for watch in monitored], dtype=bool)
    return Windows.turned(history, paths, [watch.threshold for watch in monitored], above)


def judged(windows: Windows, after: Float32, monitored: Sequence[MonitoredThreshold], origin: int) -> Examples:
    """Return those of ``windows`` that are quiet, and mostly known in the 8 h ``after``, with what became of them.

    Args:
        windows: of thresholds at an origin.
        after: ``(windows, HORIZON_STEPS)`` what came after it, as it was measured.
        monitored: whose window each is.
        origin: epoch seconds.
    """
    known = np.isfinite(after).mean(axis=1) > _KNOWN_SHARE
    rows = np.flatnonzero(windows.quiet & known)
    kept = tuple(monitored[row] for row in rows.tolist())
    quiet = windows.select(rows)
    sign = np.array([1 if watch.direction is Direction.ABOVE else -1 for watch in kept], dtype=np.float32)
    bad = past(after[rows] * sign[:, None], quiet.thresholds[:, None])
    before = np.zeros((len(rows), ONSET_STEPS), dtype=bool)
    described, _ = quiet.described()
    return Examples(described, first_onset(before, bad), kept, np.full(len(rows), origin, np.int64))


_BELOW_SHARE, _BEYOND_SHARE = 0.25, 0.2
# the share of the week that lies beyond a drawn threshold is ten to the minus these
_RARITY = (0.7, 3.3)
_FEWEST_VALUES = 288


def sampled(seed: int) -> ThresholdSampler:
    """Choose thresholds at random: quantiles of each series' last week, on either side, and beyond what it reached.

    They stand in for the thresholds that people set, of which few are ever reached: there is no end of them, each with
    its own rare breaches, and what is learned on them holds for any.
    """
    generator = np.random.default_rng(seed)

    def choose(panel: Panel, origin: int, keys: tuple[SeriesKey, ...]) -> list[MonitoredThreshold]:
        row_of = {key: row for row, key in enumerate(panel.keys)}
        week = panel.between(origin - (STEPS_PER_WEEK - 1) * STEP_SECONDS, origin).values
        monitored = []
        for key in keys:
            values = week[row_of[key]]
            monitored += _draw(generator, key, values[np.isfinite(values)])
        return monitored

    return choose


def _draw(generator: np.random.Generator, key: SeriesKey, values: Float32) -> list[MonitoredThreshold]:
    direction = Direction.BELOW if generator.random() < _BELOW_SHARE else Direction.ABOVE
    rarity, beyond, further = generator.uniform(*_RARITY), generator.random(), generator.uniform(0, 0.5)
    if len(values) < _FEWEST_VALUES:
        return []
    ordered = np.sort(values if direction is Direction.ABOVE else -values)
    middle, highest = ordered[len(ordered) // 2], ordered[-1]
    threshold = ordered[int((1 - 10**-rarity) * (len(ordered) - 1))]
    if beyond < _BEYOND_SHARE:
        threshold = highest + (highest - middle) * further
    if threshold <= middle:
        return []
    sign = 1 if direction is Direction.ABOVE else -1
    return [MonitoredThreshold(key, Severity.CRITICAL, sign * float(threshold), direction, GENERIC_PROFILE)]
