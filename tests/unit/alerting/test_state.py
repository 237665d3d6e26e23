"""The hysteresis of an alert, tick by tick."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from daemon.alerting.state import AlertState, AlertStatus, Observation, advance, is_forgettable
from daemon.config.alerting import AlertingConfig
from daemon.core.series import STEP_SECONDS, STEPS_PER_HOUR
from tests.panels import START

CONFIG = AlertingConfig()
THRESHOLD = 0.5
CLEAR, MIDDLE, LIKELY = (Observation(probability, False, THRESHOLD) for probability in (0.1, 0.4, 0.7))
BREACH, PREDICTED_BREACH = (Observation(probability, True, THRESHOLD) for probability in (0.1, 0.9))
NO_DATA = Observation(None, False, THRESHOLD)

Timed = list[tuple[int, Observation]]


@st.composite
def configs(draw: st.DrawFn) -> AlertingConfig:
    raise_ticks, clear_ticks = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    return AlertingConfig(
        raise_ticks=raise_ticks,
        raise_window=raise_ticks + draw(st.integers(0, 3)),
        clear_ticks=clear_ticks,
        clear_window=clear_ticks + draw(st.integers(0, 3)),
        clear_share=draw(st.sampled_from([0.3, 0.6, 1.0])),
        hold_ticks=draw(st.integers(0, 10)),
        missing_hours=draw(st.integers(1, 2)),
    )


@st.composite
def monitored(draw: st.DrawFn) -> Timed:
    """Draw observations at ticks, some of them skipped, with runs of equal ones."""
    likely = st.sampled_from([0.0, 0.1, 0.29, 0.31, 0.49, 0.5, 0.9])
    one = st.builds(Observation, st.none() | likely, st.booleans(), st.sampled_from([THRESHOLD, THRESHOLD, 0.3]))
    runs = draw(st.lists(st.tuples(one, st.integers(1, 8), st.sampled_from([1, 1, 1, 2, 30])), max_size=20))
    at, seen = START, []
    for observation, count, apart in runs:
        for _ in range(count):
            at += apart * STEP_SECONDS
            seen.append((at, observation))
    return seen


def timed(seen: Iterable[Observation]) -> Timed:
    return [(START + tick * STEP_SECONDS, each) for tick, each in enumerate(seen)]


def lived(seen: Timed, config: AlertingConfig = CONFIG, status: AlertStatus | None = None) -> list[AlertStatus]:
    """Return the status after each tick."""
    status, found = status or AlertStatus(), []
    for at, each in seen:
        status = advance(status, each, at, config)
        found.append(status)
    return found


def states(*seen: Observation, config: AlertingConfig = CONFIG) -> str:
    """Return the first letter of the state of a new alert after each tick."""
    return "".join(status.state.value[0] for status in lived(timed(seen), config))


def stored_and_read(status: AlertStatus) -> AlertStatus:
    stored = json.loads(json.dumps(asdict(status)))
    return AlertStatus(
        **stored | {"state": AlertState(stored["state"]), "recent_decisions": tuple(stored["recent_decisions"])}
    )


def firing(status: AlertStatus) -> bool:
    return status.state is AlertState.FIRING


def changes(statuses: Sequence[AlertStatus]) -> int:
    return sum(firing(one) != firing(other) for one, other in pairwise([AlertStatus(), *statuses]))


def test_two_predicted_ticks_of_three_fire() -> None:
    """One is pending; the second of three fires, with or without a clear one between; one alone passes."""
    assert states(CLEAR, LIKELY, LIKELY) == "ipf"
    assert states(LIKELY, CLEAR, LIKELY) == "ppf"
    assert states(LIKELY, CLEAR, CLEAR, CLEAR) == "pppi"
    assert states(LIKELY, CLEAR, CLEAR, LIKELY) == "pppp"


def test_a_probability_at_the_decision_threshold_is_predicted() -> None:
    """One below it is not."""
    assert states(*[Observation(THRESHOLD, False, THRESHOLD)] * 2) == "pf"
    assert states(*[Observation(THRESHOLD - 1e-9, False, THRESHOLD)] * 9) == "i" * 9


def test_times_are_those_of_the_ticks() -> None:
    """A state starts at its tick; the time of firing and resolving is kept, that of pending is not."""
    pending, fired, *_, resolved = lived(timed([LIKELY, LIKELY, *[CLEAR] * 6]))
    assert pending == AlertStatus(state=AlertState.PENDING, since=START, changed=0, recent_decisions=(True,))
    assert lived(timed([LIKELY, CLEAR]))[-1].since == START
    assert fired == AlertStatus(state=AlertState.FIRING, since=START + 300, changed=START + 300)
    assert resolved == AlertStatus(state=AlertState.INACTIVE, since=START + 7 * 300, changed=START + 7 * 300)


def test_a_breach_fires_a_pending_alert() -> None:
    """A prediction that comes true while it is pending is not lost; a breach without a prediction does not fire."""
    assert states(LIKELY, BREACH) == "pf"
    assert states(LIKELY, CLEAR, CLEAR, BREACH) == "pppf"
    assert states(PREDICTED_BREACH, PREDICTED_BREACH, PREDICTED_BREACH) == "iii"


def test_five_clear_ticks_of_six_resolve() -> None:
    """One tick may be not clear; a probability above the lower threshold is not clear and resolves nothing."""
    fired = [LIKELY, LIKELY]
    assert states(*fired, *[CLEAR] * 6) == "pf" + "fffff" + "i"
    assert states(*fired, CLEAR, LIKELY, CLEAR, CLEAR, CLEAR, CLEAR) == "pf" + "fffff" + "i"
    assert states(*fired, *[CLEAR] * 4, MIDDLE, MIDDLE, CLEAR, CLEAR) == "pf" + "f" * 8
    assert states(*fired, *[MIDDLE] * 50) == "pf" + "f" * 50
    assert states(*fired, *[CLEAR] * 4, BREACH, CLEAR) == "pf" + "fffff" + "i"
    assert states(*fired, *[CLEAR] * 5, LIKELY, CLEAR) == "pf" + "ffffff" + "i"


def test_an_alert_is_held_after_it_fired() -> None:
    """Clear ticks resolve it no earlier than six ticks after it fired."""
    early = AlertingConfig(clear_ticks=2, clear_window=3)
    assert states(LIKELY, LIKELY, *[CLEAR] * 7, config=early) == "pf" + "fffff" + "ii"


def test_an_alert_is_held_after_it_resolved() -> None:
    """It is pending during the hold, and fires after it if the recent ticks still predict a breach."""
    resolved = [LIKELY, LIKELY, *[CLEAR] * 6]
    assert states(*resolved, *[LIKELY] * 7)[8:] == "pppppff"
    assert states(*resolved, LIKELY, LIKELY, BREACH, *[CLEAR] * 4)[8:] == "ppppiii"
    assert states(*resolved, *[LIKELY] * 5, BREACH)[8:] == "pppppf"


def test_without_data_nothing_changes() -> None:
    """A firing alert keeps firing, a pending one stays pending, and a tick without data is no decision."""
    for seen in ([LIKELY, LIKELY, *[CLEAR] * 4], [LIKELY], [CLEAR]):
        *_, before = lived(timed(seen))
        *_, after = lived([(START + hour * 3600, NO_DATA) for hour in range(1, 288)], status=before)
        assert after == AlertStatus(
            state=before.state,
            since=before.since,
            changed=before.changed,
            recent_decisions=before.recent_decisions,
            missing=287,
        )


def test_after_a_gap_the_decisions_before_it_count() -> None:
    """The recent decisions are kept over the gap, and the count of missing ticks starts at 0."""
    states = lived(timed([LIKELY, NO_DATA, NO_DATA, LIKELY]))
    assert [state.missing for state in states] == [0, 1, 2, 0]
    assert firing(states[-1])


def test_an_alert_without_data_for_a_day_ends() -> None:
    """A firing alert resolves, a pending one is dropped; a single tick with data restarts the day."""
    ended = lived(timed([LIKELY, LIKELY, *[NO_DATA] * 288]))[-2:]
    assert [status.state for status in ended] == [AlertState.FIRING, AlertState.INACTIVE]
    assert ended[-1] == AlertStatus(state=AlertState.INACTIVE, since=START + 289 * 300, changed=START + 289 * 300)
    dropped = lived(timed([LIKELY, *[NO_DATA] * 288]))[-1]
    assert dropped == AlertStatus(state=AlertState.INACTIVE, since=START + 288 * 300, changed=0)
    interrupted = [LIKELY, LIKELY, *[NO_DATA] * 287, MIDDLE, *[NO_DATA] * 287]
    assert firing(lived(timed(interrupted))[-1])


def test_skipped_ticks_are_time_but_no_decisions() -> None:
    """After hours without a tick nothing has resolved, but the hold is over."""
    fired = lived(timed([LIKELY, LIKELY]))[-1]
    later = START + 10 * 3600
    back = lived([(later + tick * 300, CLEAR) for tick in range(5)], status=fired)
    assert [firing(state) for state in back] == [True] * 4 + [False]
    again = lived([(later + 3600 + tick * 300, LIKELY) for tick in range(2)], status=back[-1])
    assert [status.state for status in again] == [AlertState.PENDING, AlertState.FIRING]


def test_a_resolved_alert_is_kept_while_its_hold_lasts() -> None:
    """A restart must not forget the hold; after it the status is forgettable."""
    *_, resolved = lived(timed([LIKELY, LIKELY, *[CLEAR] * 6]))
    at = resolved.changed
    assert [is_forgettable(resolved, at + tick * 300, CONFIG) for tick in (0, 5, 6, 99)] == [False, False, True, True]
    assert is_forgettable(AlertStatus(recent_decisions=(False, False)), START, CONFIG)
    pending, fired = lived(timed([LIKELY, LIKELY]))
    assert not is_forgettable(pending, START + 86_400, CONFIG)
    assert not is_forgettable(fired, START + 86_400, CONFIG)


def test_a_flat_noisy_series_raises_nothing() -> None:
    """Probabilities below the decision threshold do not make it pending."""
    noise = [Observation(0.2 + 0.29 * (tick * 7919 % 100) / 100, False, THRESHOLD) for tick in range(600)]
    assert set(states(*noise)) == {"i"}


def test_a_prediction_that_comes_true_fires_through_the_breach() -> None:
    """It fires once, stays during five hours of breach with low probabilities, and resolves once afterwards."""
    story = [*[CLEAR] * 12, *[LIKELY] * 24, *[BREACH] * 60, *[CLEAR] * 48]
    states = lived(timed(story))
    assert changes(states) == 2
    assert [firing(state) for state in states].index(True) == 13
    assert all(firing(state) for state in states[13 : 96 + 4])
    assert not firing(states[96 + 4 + 1])


def test_a_gap_of_two_hours_keeps_what_fires_firing() -> None:
    """Nothing changes in a gap of missing data or of skipped ticks, nor at the first tick after it."""
    silent = timed([LIKELY, LIKELY, *[NO_DATA] * 24, MIDDLE, LIKELY])
    assert changes(lived(silent)) == 1
    skipped = [each for each in silent if each[1] is not NO_DATA]
    assert changes(lived(skipped)) == 1
    assert changes(lived(timed([*[CLEAR] * 9, *[NO_DATA] * 24, *[CLEAR] * 9]))) == 0


def test_a_constant_at_the_limit_raises_nothing() -> None:
    """A breach from the start was never predicted; it is the subject of the real alert."""
    assert set(states(*[PREDICTED_BREACH] * 600)) == {"i"}


@given(st.integers(3, 80), st.floats(1e-6, 0.1), configs())
def test_a_probability_around_the_decision_threshold_fires_once(
    cycles: int, swing: float, config: AlertingConfig
) -> None:
    """Alternately just above and just below: it stays, because just below is above the lower threshold."""
    assume(config.clear_share < 1 and config.raise_window >= 2 * config.raise_ticks - 1)
    above, below = (Observation(THRESHOLD + side * swing, False, THRESHOLD) for side in (1, -1))
    states = lived(timed([above, below] * (cycles + 10)), config)
    assert changes(states) == 1
    assert firing(states[-1])


@settings(max_examples=300)
@given(monitored(), configs())
def test_nothing_changes_twice_within_its_hold(seen: Timed, config: AlertingConfig) -> None:
    """Between two changes are at least the ticks of the hold, except for an alert that ends without data."""
    moved = AlertStatus().changed
    for (at, _), (before, after) in zip(seen, pairwise([AlertStatus(), *lived(seen, config)]), strict=True):
        if firing(before) != firing(after):
            ended = before.missing + 1 >= config.missing_hours * STEPS_PER_HOUR and not firing(after)
            assert at - moved >= config.hold_ticks * STEP_SECONDS or ended
            assert after.changed == after.since == at
            moved = at


@settings(max_examples=200)
@given(monitored(), configs(), st.sets(st.integers(0, 159)))
def test_restarts_change_nothing(seen: Timed, config: AlertingConfig, restarts: set[int]) -> None:
    """A status that is stored as JSON and read back at any tick gives the same statuses."""
    state, states = AlertStatus(), []
    for tick, (at, each) in enumerate(seen):
        state = advance(stored_and_read(state) if tick in restarts else state, each, at, config)
        states.append(state)
    assert states == lived(seen, config)


@settings(max_examples=200)
@given(monitored(), configs())
def test_forgetting_changes_nothing(seen: Timed, config: AlertingConfig) -> None:
    """A caller that drops forgettable statuses at every tick sees the same states, since the same ticks."""
    state, kept = AlertStatus(), []
    for at, each in seen:
        state = advance(state, each, at, config)
        kept.append(state)
        state = AlertStatus() if is_forgettable(state, at, config) else state
    pairs = list(zip(kept, lived(seen, config), strict=True))
    assert [one.state for one, _ in pairs] == [other.state for _, other in pairs]
    assert all(one.since == other.since for one, other in pairs if other.state is not AlertState.INACTIVE)


@settings(max_examples=200)
@given(monitored(), configs(), st.data())
def test_missing_data_alone_changes_nothing(seen: Timed, config: AlertingConfig, data: st.DataObject) -> None:
    """Fewer ticks without data than end an alert leave its state as it was, whenever they come."""
    at, status = START, AlertStatus()
    if seen:
        (at, _), status = seen[-1], lived(seen, config)[-1]
    missed = data.draw(st.integers(0, max(0, config.missing_hours * STEPS_PER_HOUR - 1 - status.missing)))
    silent = [(at + tick * STEP_SECONDS, NO_DATA) for tick in range(1, missed + 1)]
    for after in lived(silent, config, status):
        assert (after.state, after.since, after.changed, after.recent_decisions) == (
            status.state,
            status.since,
            status.changed,
            status.recent_decisions,
        )


@settings(max_examples=300)
@given(monitored(), configs())
def test_nothing_resolves_while_breached_or_predicted(seen: Timed, config: AlertingConfig) -> None:
    """An alert that is breached or predicted at a tick keeps firing at that tick."""
    for (_, each), (before, after) in zip(seen, pairwise([AlertStatus(), *lived(seen, config)]), strict=True):
        if (
            firing(before)
            and each.probability is not None
            and (each.breached or each.probability >= each.decision_threshold)
        ):
            assert firing(after)
