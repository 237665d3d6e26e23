"""Series that no fleet has, made of those that it has: more variety to learn from."""

import numpy as np

from daemon.domain.grid import STEPS_PER_DAY
from daemon.domain.series import Panel, SeriesKey
from daemon.learning.history import scale_of

_LEAST_SHARE = 0.2
_DAYS_APART = 7


def mixed(panel: Panel, generator: np.random.Generator) -> Panel:
    """Return as many series as ``panel`` has, each a convex combination of two of them in units of their spread.

    The second one is taken up to six days later than the first, so that its rhythm stays and its events move. After
    TSMixup (Ansari et al., Chronos: learning the language of time series, 2024, section 4.1). A sample is missing where
    either of the two is.
    """
    median, spread = scale_of(panel.values)
    scaled = (panel.values - median[:, None]) / spread[:, None]
    partner = generator.permutation(len(scaled))
    days = int(generator.integers(min(_DAYS_APART, panel.steps // STEPS_PER_DAY // 2 + 1)))
    later = np.full_like(scaled, np.nan)
    later[:, days * STEPS_PER_DAY :] = scaled[partner, : panel.steps - days * STEPS_PER_DAY]
    share = generator.uniform(_LEAST_SHARE, 1 - _LEAST_SHARE, (len(scaled), 1))
    keys = tuple(SeriesKey(f"mixed-{row}", "mixed") for row in range(len(scaled)))
    return Panel(keys, panel.start, (share * scaled + (1 - share) * later).astype(np.float32))
