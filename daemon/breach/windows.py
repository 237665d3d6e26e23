"""Windows of the past with their outcome: the data that the breach model is trained and measured on.

A window is one threshold of one series at one origin. Its outcome is the step of the onset in the 8 h after the origin.
"""

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

_WINDOWS_AT_ONCE = 512
_KNOWN_SHARE = 0.5
_BELOW_SHARE, _BEYOND_SHARE = 0.25, 0.2
# the share of the week beyond a sampled threshold is 10 to the power of minus these
_RARITY = (0.7, 3.3)
_FEWEST_VALUES = 288


@dataclass(frozen=True)
class Windows:
    """Thresholds at an origin, sign-normalised: high is bad.

    Attributes:
        history: ``(windows, HISTORY_STEPS)`` up to the origin; NaN is missing.
        paths: ``(windows, HORIZON_STEPS, quantiles)``.
        thresholds: ``(windows,)``.
    """

    history: Float32
    paths: Float32
    thresholds: Float32

    @classmethod
    def sign_normalised(cls, history: Float32, paths: Float32, thresholds: npt.ArrayLike, above: Bool) -> "Windows":
        """Return windows in the metrics' units with the sign changed where low is bad (``above`` is False)."""
        sign = np.where(above, 1, -1).astype(np.float32)
        normalised = np.where(above[:, None, None], paths, -paths[..., ::-1])
        return cls(history * sign[:, None], normalised, np.asarray(thresholds, np.float32) * sign)

    def select(self, rows: npt.NDArray[np.intp] | Bool) -> "Windows":
        """Return some of the windows."""
        return Windows(self.history[rows], self.paths[rows], self.thresholds[rows])

    def described(self) -> tuple[Float64, SameHourHistory]:
        """Return the features, ``(windows, FEATURES)``, and the same-hour history that some of them are made of."""
        days = SameHourHistory.of(self.history, self.thresholds)
        return features(self.history, self.paths, self.thresholds, days), days

    @property
    def clear(self) -> Bool:
        """Whether no breach is active: the last CLEAR_STEPS have a sample and no breach, nor the start of one."""
        bad = past(self.history[:, -ONSET_STEPS:], self.thresholds[:, None])
        active = breached(bad)[:, -CLEAR_STEPS:].any(axis=1) | bad[:, 1 - BREACH_STEPS :].any(axis=1)
        return np.asarray(~active & np.isfinite(self.history[:, -CLEAR_STEPS:]).any(axis=1))


@dataclass(frozen=True)
class Examples:
    """Windows without an active breach whose outcome is known.

    Attributes:
        features: ``(windows, FEATURES)``.
        onset: ``(windows,)``, step of the onset, 1 to HORIZON_STEPS; 0 is no breach.
        monitored: the threshold of each window.
        origins: ``(windows,)``, epoch seconds.
    """

    features: Float64
    onset: npt.NDArray[np.intp]
    monitored: tuple[MonitoredThreshold, ...]
    origins: npt.NDArray[np.int64]

    @property
    def happened(self) -> Bool:
        """Whether a breach followed, ``(windows,)``."""
        return np.asarray(self.onset > 0)

    def where(self, chosen: Callable[[MonitoredThreshold], bool]) -> "Examples":
        """Return the windows of the chosen thresholds."""
        return self.select(np.flatnonzero([chosen(each) for each in self.monitored]))

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
            tuple(each for part in parts for each in part.monitored),
            np.concatenate([np.empty(0, np.int64), *(part.origins for part in parts)]),
        )


ThresholdSampler = Callable[[Panel, int, tuple[SeriesKey, ...]], Sequence[MonitoredThreshold]]
"""Returns the thresholds to evaluate, given the panel, an origin, and the series that have a forecast there."""


def configured_thresholds(metrics: Mapping[str, Metric]) -> ThresholdSampler:
    """Return a sampler of all thresholds of the configuration."""

    def sample(panel: Panel, origin: int, keys: tuple[SeriesKey, ...]) -> list[MonitoredThreshold]:
        profile = panel.profiles.get
        return [
            each for key in keys for each in monitored_thresholds(key, profile(key.server, GENERIC_PROFILE), metrics)
        ]

    return sample


def examples(
    panel: Panel, origins: Iterable[int], forecaster: Forecaster, samplers: Sequence[ThresholdSampler]
) -> list[Examples]:
    """Return, for each of ``samplers``, the clear windows at ``origins`` (epoch seconds) that have an outcome."""
    parts: list[list[Examples]] = [[] for _ in samplers]
    row_of = {key: row for row, key in enumerate(panel.keys)}
    for origin in origins:
        forecast = forecaster.forecast(panel, origin)
        before = history_of(panel, origin)
        after = panel.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS).values
        for sample, found in zip(samplers, parts, strict=True):
            monitored = sample(panel, origin, forecast.keys)
            for first in range(0, len(monitored), _WINDOWS_AT_ONCE):
                some = monitored[first : first + _WINDOWS_AT_ONCE]
                rows = [row_of[each.key] for each in some]
                found.append(with_outcome(windows_of(some, forecast, before[rows]), after[rows], some, origin))
    return [Examples.concatenate(found) for found in parts]


def history_of(panel: Panel, origin: int) -> Float32:
    """Return the HISTORY_STEPS up to ``origin`` of every series, ``(series, HISTORY_STEPS)``."""
    return panel.between(origin - (HISTORY_STEPS - 1) * STEP_SECONDS, origin).values


def newest_sample(values: Float32) -> Float32:
    """Return the newest sample of each row of ``(windows, steps)``, ``(windows,)``; NaN without one."""
    last = values.shape[1] - 1 - np.isfinite(values)[:, ::-1].argmax(axis=1)
    return np.take_along_axis(values, last[:, None], axis=1)[:, 0]


def windows_of(monitored: Sequence[MonitoredThreshold], forecast: Forecast, history: Float32) -> Windows:
    """Return the windows of thresholds at the origin of ``forecast``; ``history`` has a row for each of them."""
    row_of = {key: row for row, key in enumerate(forecast.keys)}
    paths = forecast.paths[[row_of[each.key] for each in monitored]]
    above = np.array([each.direction is Direction.ABOVE for each in monitored], dtype=bool)
    return Windows.sign_normalised(history, paths, [each.threshold for each in monitored], above)


def with_outcome(windows: Windows, after: Float32, monitored: Sequence[MonitoredThreshold], origin: int) -> Examples:
    """Return the clear ``windows`` with their outcome; those with less than half of the samples after are left out.

    Args:
        windows: of thresholds at one origin.
        after: ``(windows, HORIZON_STEPS)``, samples after the origin in the metrics' units; NaN is missing.
        monitored: the threshold of each window.
        origin: epoch seconds.
    """
    known = np.isfinite(after).mean(axis=1) > _KNOWN_SHARE
    rows = np.flatnonzero(windows.clear & known)
    kept = tuple(monitored[row] for row in rows.tolist())
    clear = windows.select(rows)
    sign = np.array([1 if each.direction is Direction.ABOVE else -1 for each in kept], dtype=np.float32)
    bad = past(after[rows] * sign[:, None], clear.thresholds[:, None])
    before = np.zeros((len(rows), ONSET_STEPS), dtype=bool)
    described, _ = clear.described()
    return Examples(described, first_onset(before, bad), kept, np.full(len(rows), origin, np.int64))


def sampled_thresholds(seed: int) -> ThresholdSampler:
    """Return a sampler of random thresholds: quantiles of each series' last week, on either side, and values beyond it.

    Few configured thresholds are ever reached. Sampled thresholds supply any number of rare breaches, and the features
    are the same for both.
    """
    generator = np.random.default_rng(seed)

    def sample(panel: Panel, origin: int, keys: tuple[SeriesKey, ...]) -> list[MonitoredThreshold]:
        row_of = {key: row for row, key in enumerate(panel.keys)}
        week = panel.between(origin - (STEPS_PER_WEEK - 1) * STEP_SECONDS, origin).values
        monitored = []
        for key in keys:
            values = week[row_of[key]]
            monitored += _sample_threshold(generator, key, values[np.isfinite(values)])
        return monitored

    return sample


def _sample_threshold(generator: np.random.Generator, key: SeriesKey, values: Float32) -> list[MonitoredThreshold]:
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
