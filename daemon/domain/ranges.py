"""The range in which a series' values can lie."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from daemon.domain.metric import Metric
from daemon.domain.series import Float32, Panel

_UNKNOWN = Metric("")


def bounds(panel: Panel, metrics: Mapping[str, Metric]) -> tuple[Float32, Float32]:
    """Return the lowest and highest possible value of each series, two arrays ``(series,)``.

    The configured range, where there is one; else a series that was never negative is floored at 0.
    """
    known = [metrics.get(key.metric, _UNKNOWN) for key in panel.keys]
    negative: npt.NDArray[np.bool_] = np.any(panel.values < 0, axis=1)
    minimum = [
        metric.minimum if metric.minimum is not None else -np.inf if below else 0.0
        for metric, below in zip(known, negative, strict=True)
    ]
    maximum = [metric.maximum if metric.maximum is not None else np.inf for metric in known]
    return np.array(minimum, dtype=np.float32), np.array(maximum, dtype=np.float32)
