import numpy as np

from daemon.breach.definition import (
    BREACH_STEPS,
    CLEAR_STEPS,
    ONSET_STEPS,
    breached,
    first_crossing,
    first_onset,
    longest_held,
    onsets,
    past,
)
from daemon.core.metric import Direction


def test_three_consecutive_steps_make_a_breach() -> None:
    """Two steps past the threshold, or three with one missing between, are none."""
    nan = np.nan
    values = np.array([[1, 9, 9, 9, 1], [9, 9, 1, 9, 9], [9, 9, nan, 9, 9], [nan, nan, nan, nan, nan]], np.float32)
    assert onsets(past(values, 9)).any(axis=1).tolist() == [True, False, False, False]
    assert onsets(past(values, 9))[0].tolist() == [False, True, False, False, False]


def test_an_onset_needs_two_clear_hours() -> None:
    """A breach that continues, or recurs within 2 h, is no new onset; after 2 h it is."""
    bad = np.zeros((2, 60), dtype=bool)
    bad[:, 5:9] = True
    bad[0, 20:24] = True
    bad[1, 33:36] = True
    assert [np.flatnonzero(row).tolist() for row in onsets(bad)] == [[5], [5, 33]]


def test_single_bad_steps_do_not_delay_the_onset() -> None:
    """One or two steps past the threshold are no breach, and the next breach has its onset."""
    bad = np.zeros((1, 60), dtype=bool)
    bad[0, [3, 8, 9, 14]] = bad[0, 20:40] = True
    assert np.flatnonzero(onsets(bad)).tolist() == [20]
    assert np.flatnonzero(breached(bad)).tolist() == list(range(20, 40))


def test_onset_steps_is_the_number_of_steps_that_decide() -> None:
    """A breach that ended just within the clear hours prevents an onset, though most of it lies before them."""
    bad = np.zeros((1, ONSET_STEPS + BREACH_STEPS), dtype=bool)
    bad[0, :BREACH_STEPS] = bad[0, -BREACH_STEPS:] = True
    assert np.flatnonzero(onsets(bad)).tolist() == [0]
    assert ONSET_STEPS - BREACH_STEPS < CLEAR_STEPS
    assert np.flatnonzero(onsets(np.pad(bad, ((0, 0), (0, 1)))[:, 1:])).tolist() == [ONSET_STEPS - 1]


def test_a_metric_may_be_bad_below() -> None:
    """Where low is bad, values at or below the threshold count."""
    values = np.array([[5, 3, 2, 3, 5]], np.float32)
    assert past(values, 3, Direction.BELOW).tolist() == [[False, True, True, True, False]]
    assert past(values, 2.5, Direction.BELOW).tolist() == [[False, False, True, False, False]]


def test_the_step_of_the_first_onset_is_counted_from_the_origin() -> None:
    """Step 1 is the first after the origin, 0 is no onset; an active breach before the origin prevents an onset."""
    after = np.zeros((3, 10), dtype=bool)
    after[0, 0:3] = after[2, 4:8] = True
    before = np.zeros((3, ONSET_STEPS), dtype=bool)
    assert first_onset(before, after).tolist() == [1, 0, 5]
    before[2, 10:13] = True
    assert first_onset(before, after).tolist() == [1, 0, 0]


def test_a_path_crosses_where_three_steps_are_past_the_threshold() -> None:
    """The crossing is the first of three consecutive steps; the level that they hold is their lowest value."""
    path = np.array([[1, 5, 1, 5, 5, 6], [1, 5, 5, 1, 5, 5]], np.float32)
    assert longest_held(path).tolist() == [[1, 1, 1, 5], [1, 1, 1, 1]]
    assert first_crossing(path, np.array([5, 5])).tolist() == [4, 0]
