import numpy as np

from daemon.domain.breach import breaches, past
from daemon.domain.metric import Direction


def test_three_consecutive_steps_make_a_breach() -> None:
    """Two steps past the threshold, or three with one missing between, are none."""
    nan = np.nan
    values = np.array([[1, 9, 9, 9, 1], [9, 9, 1, 9, 9], [9, 9, nan, 9, 9], [nan, nan, nan, nan, nan]], np.float32)
    assert breaches(values, 9, Direction.ABOVE).tolist() == [True, False, False, False]


def test_a_metric_may_be_bad_below() -> None:
    """Where low is bad the other side of the threshold counts, and the threshold itself."""
    values = np.array([[5, 3, 2, 3, 5]], np.float32)
    assert past(values, 3, Direction.BELOW).tolist() == [[False, True, True, True, False]]
    assert breaches(values, 3, Direction.BELOW).tolist() == [True]
    assert breaches(values, 2.5, Direction.BELOW).tolist() == [False]
