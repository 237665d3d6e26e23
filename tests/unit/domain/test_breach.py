import numpy as np

from daemon.domain.breach import first_crossing, first_onset, longest_held, onsets, past
from daemon.domain.metric import Direction


def test_three_consecutive_steps_make_a_breach() -> None:
    """Two steps past the threshold, or three with one missing between, are none."""
    nan = np.nan
    values = np.array([[1, 9, 9, 9, 1], [9, 9, 1, 9, 9], [9, 9, nan, 9, 9], [nan, nan, nan, nan, nan]], np.float32)
    assert onsets(past(values, 9)).any(axis=1).tolist() == [True, False, False, False]
    assert onsets(past(values, 9))[0].tolist() == [False, True, False, False, False]


def test_a_breach_begins_after_two_quiet_hours() -> None:
    """What goes on, or comes again within 2 h, is no new breach; after 2 h it is."""
    bad = np.zeros((2, 60), dtype=bool)
    bad[:, 5:9] = True
    bad[0, 20:24] = True
    bad[1, 33:36] = True
    assert [np.flatnonzero(row).tolist() for row in onsets(bad)] == [[5], [5, 33]]


def test_a_metric_may_be_bad_below() -> None:
    """Where low is bad the other side of the threshold counts, and the threshold itself."""
    values = np.array([[5, 3, 2, 3, 5]], np.float32)
    assert past(values, 3, Direction.BELOW).tolist() == [[False, True, True, True, False]]
    assert past(values, 2.5, Direction.BELOW).tolist() == [[False, False, True, False, False]]


def test_the_step_of_the_first_onset_is_counted_from_the_origin() -> None:
    """Step 1 is the first after the origin; 0 says that there is none; bad steps before the origin forbid one."""
    after = np.zeros((3, 10), dtype=bool)
    after[0, 0:3] = after[2, 4:8] = True
    before = np.zeros((3, 24), dtype=bool)
    assert first_onset(before, after).tolist() == [1, 0, 5]
    before[2, 10] = True
    assert first_onset(before, after).tolist() == [1, 0, 0]


def test_a_path_crosses_when_it_holds() -> None:
    """A path crosses where three steps in a row are at the threshold; what it holds is the lowest of the three."""
    path = np.array([[1, 5, 1, 5, 5, 6], [1, 5, 5, 1, 5, 5]], np.float32)
    assert longest_held(path).tolist() == [[1, 1, 1, 5], [1, 1, 1, 1]]
    assert first_crossing(path, np.array([5, 5])).tolist() == [4, 0]
