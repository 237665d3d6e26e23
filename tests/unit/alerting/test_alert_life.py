import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from daemon.alerting.state import AlertState, Observation, Phase, Policy, advance, forgettable
from daemon.core.series import STEP_SECONDS
from tests.panels import START

POLICY = Policy()
CUT = 0.5
QUIET, MIDDLE, LIKELY = (Observation(probability, False, CUT) for probability in (0.1, 0.4, 0.7))
BREACH, BREACH_FORETOLD = (Observation(probability, True, CUT) for probability in (0.1, 0.9))
NO_DATA = Observation(None, False, CUT)

Timed = list[tuple[int, Observation]]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    raise_ticks, clear_ticks = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    return Policy(
        raise_ticks=raise_ticks,
        raise_window=raise_ticks + draw(st.integers(0, 3)),
        clear_ticks=clear_ticks,
        clear_window=clear_ticks + draw(st.integers(0, 3)),
        clear_share=draw(st.sampled_from([0.3, 0.6, 1.0])),
        hold_ticks=draw(st.integers(0, 10)),
        missing_ticks=draw(st.integers(1, 12)),
    )


@st.composite
def monitored(draw: st.DrawFn) -> Timed:
    """Draw what was seen at ticks of which some were skipped, with runs of the same as they occur."""
    likely = st.sampled_from([0.0, 0.1, 0.29, 0.31, 0.49, 0.5, 0.9])
    one = st.builds(Observation, st.none() | likely, st.booleans(), st.sampled_from([CUT, CUT, 0.3]))
    runs = draw(st.lists(st.tuples(one, st.integers(1, 8), st.sampled_from([1, 1, 1, 2, 30])), max_size=20))
    at, seen = START, []
    for observation, count, apart in runs:
        for _ in range(count):
            at += apart * STEP_SECONDS
            seen.append((at, observation))
    return seen


def timed(seen: Iterable[Observation]) -> Timed:
    return [(START + tick * STEP_SECONDS, each) for tick, each in enumerate(seen)]


def lived(seen: Timed, policy: Policy = POLICY, state: AlertState | None = None) -> list[AlertState]:
    """Return the state after each tick."""
    state, states = state or AlertState(), []
    for at, each in seen:
        state = advance(state, each, at, policy)
        states.append(state)
    return states


def phases(*seen: Observation, policy: Policy = POLICY) -> str:
    """Return the phases after each tick of a new alert by their first letters."""
    return "".join(state.phase.value[0] for state in lived(timed(seen), policy))


def stored_and_read(state: AlertState) -> AlertState:
    stored = json.loads(json.dumps(asdict(state)))
    return AlertState(**stored | {"phase": Phase(stored["phase"]), "votes": tuple(stored["votes"])})


def firing(state: AlertState) -> bool:
    return state.phase is Phase.FIRING


def changes(states: Sequence[AlertState]) -> int:
    return sum(firing(one) != firing(other) for one, other in pairwise([AlertState(), *states]))


def test_two_predicted_ticks_of_three_raise() -> None:
    """One is pending, the second of three fires whether or not a quiet one lies between, and one alone passes."""
    assert phases(QUIET, LIKELY, LIKELY) == "ipf"
    assert phases(LIKELY, QUIET, LIKELY) == "ppf"
    assert phases(LIKELY, QUIET, QUIET, QUIET) == "pppi"
    assert phases(LIKELY, QUIET, QUIET, LIKELY) == "pppp"


def test_the_cut_itself_is_predicted() -> None:
    """A probability at the cut counts, one below it does not."""
    assert phases(*[Observation(CUT, False, CUT)] * 2) == "pf"
    assert phases(*[Observation(CUT - 1e-9, False, CUT)] * 9) == "i" * 9


def test_times_are_those_of_the_ticks() -> None:
    """A phase begins at the tick that made it so; firing and resolving are remembered, pending is not."""
    pending, fired, *_, resolved = lived(timed([LIKELY, LIKELY, *[QUIET] * 6]))
    assert pending == AlertState(phase=Phase.PENDING, since=START, changed=0, votes=(True,))
    assert lived(timed([LIKELY, QUIET]))[-1].since == START
    assert fired == AlertState(phase=Phase.FIRING, since=START + 300, changed=START + 300)
    assert resolved == AlertState(phase=Phase.INACTIVE, since=START + 7 * 300, changed=START + 7 * 300)


def test_a_breach_fires_what_is_pending() -> None:
    """A prediction that comes true before it has its votes is not lost, even on its last tick; a breach is no vote."""
    assert phases(LIKELY, BREACH) == "pf"
    assert phases(LIKELY, QUIET, QUIET, BREACH) == "pppf"
    assert phases(BREACH_FORETOLD, BREACH_FORETOLD, BREACH_FORETOLD) == "iii"


def test_five_quiet_ticks_of_six_clear() -> None:
    """One that is not quiet may lie between; one that is not under the lower cut is not quiet, and resolves nothing."""
    fired = [LIKELY, LIKELY]
    assert phases(*fired, *[QUIET] * 6) == "pf" + "fffff" + "i"
    assert phases(*fired, QUIET, LIKELY, QUIET, QUIET, QUIET, QUIET) == "pf" + "fffff" + "i"
    assert phases(*fired, *[QUIET] * 4, MIDDLE, MIDDLE, QUIET, QUIET) == "pf" + "f" * 8
    assert phases(*fired, *[MIDDLE] * 50) == "pf" + "f" * 50
    assert phases(*fired, *[QUIET] * 4, BREACH, QUIET) == "pf" + "fffff" + "i"
    assert phases(*fired, *[QUIET] * 5, LIKELY, QUIET) == "pf" + "ffffff" + "i"


def test_an_alert_is_held_after_it_fired() -> None:
    """Quiet votes resolve it no earlier than six ticks after it fired."""
    early = Policy(clear_ticks=2, clear_window=3)
    assert phases(LIKELY, LIKELY, *[QUIET] * 7, policy=early) == "pf" + "fffff" + "ii"


def test_an_alert_is_held_after_it_resolved() -> None:
    """It waits as pending while the hold lasts, and fires when that is over, if the votes still say so."""
    resolved = [LIKELY, LIKELY, *[QUIET] * 6]
    assert phases(*resolved, *[LIKELY] * 7)[8:] == "pppppff"
    assert phases(*resolved, LIKELY, LIKELY, BREACH, *[QUIET] * 4)[8:] == "ppppiii"
    assert phases(*resolved, *[LIKELY] * 5, BREACH)[8:] == "pppppf"


def test_without_data_nothing_changes() -> None:
    """A firing alert keeps firing and its votes, a pending one waits, and no silence is a vote."""
    for seen in ([LIKELY, LIKELY, *[QUIET] * 4], [LIKELY], [QUIET]):
        *_, before = lived(timed(seen))
        *_, after = lived([(START + hour * 3600, NO_DATA) for hour in range(1, 288)], state=before)
        assert after == AlertState(
            phase=before.phase, since=before.since, changed=before.changed, votes=before.votes, missing=287
        )


def test_data_that_comes_back_goes_on_where_it_ended() -> None:
    """The votes from before the gap count on, and the count of missing ticks begins anew."""
    states = lived(timed([LIKELY, NO_DATA, NO_DATA, LIKELY]))
    assert [state.missing for state in states] == [0, 1, 2, 0]
    assert firing(states[-1])


def test_an_alert_without_data_is_given_up_in_the_end() -> None:
    """After a day of ticks in a row without any; a pending one is dropped then, and resolved nothing."""
    given_up = lived(timed([LIKELY, LIKELY, *[NO_DATA] * 288]))[-2:]
    assert [state.phase for state in given_up] == [Phase.FIRING, Phase.INACTIVE]
    assert given_up[-1] == AlertState(phase=Phase.INACTIVE, since=START + 289 * 300, changed=START + 289 * 300)
    dropped = lived(timed([LIKELY, *[NO_DATA] * 288]))[-1]
    assert dropped == AlertState(phase=Phase.INACTIVE, since=START + 288 * 300, changed=0)
    interrupted = [LIKELY, LIKELY, *[NO_DATA] * 287, MIDDLE, *[NO_DATA] * 287]
    assert firing(lived(timed(interrupted))[-1])


def test_skipped_ticks_are_time_but_no_votes() -> None:
    """A service that was away for hours resolves nothing by that, but its hold is over."""
    fired = lived(timed([LIKELY, LIKELY]))[-1]
    later = START + 10 * 3600
    back = lived([(later + tick * 300, QUIET) for tick in range(5)], state=fired)
    assert [firing(state) for state in back] == [True] * 4 + [False]
    again = lived([(later + 3600 + tick * 300, LIKELY) for tick in range(2)], state=back[-1])
    assert [state.phase for state in again] == [Phase.PENDING, Phase.FIRING]


def test_a_resolved_alert_is_kept_while_its_hold_lasts() -> None:
    """A restart must not forget the hold; then there is nothing left to remember."""
    *_, resolved = lived(timed([LIKELY, LIKELY, *[QUIET] * 6]))
    at = resolved.changed
    assert [forgettable(resolved, at + tick * 300, POLICY) for tick in (0, 5, 6, 99)] == [False, False, True, True]
    assert forgettable(AlertState(votes=(False, False)), START, POLICY)
    pending, fired = lived(timed([LIKELY, LIKELY]))
    assert not forgettable(pending, START + 86_400, POLICY)
    assert not forgettable(fired, START + 86_400, POLICY)


def test_a_flat_noisy_series_raises_nothing() -> None:
    """Probabilities that jump about below the cut never even make it pending."""
    noise = [Observation(0.2 + 0.29 * (tick * 7919 % 100) / 100, False, CUT) for tick in range(600)]
    assert set(phases(*noise)) == {"i"}


def test_a_prediction_that_comes_true_fires_through_the_breach() -> None:
    """It fires once, stays through five hours of breach with low probabilities, and clears once afterwards."""
    story = [*[QUIET] * 12, *[LIKELY] * 24, *[BREACH] * 60, *[QUIET] * 48]
    states = lived(timed(story))
    assert changes(states) == 2
    assert [firing(state) for state in states].index(True) == 13
    assert all(firing(state) for state in states[13 : 96 + 4])
    assert not firing(states[96 + 4 + 1])


def test_a_gap_of_two_hours_keeps_what_fires_firing() -> None:
    """Nothing changes in the gap, be it of missing data or of skipped ticks, nor at the first tick after it."""
    silent = timed([LIKELY, LIKELY, *[NO_DATA] * 24, MIDDLE, LIKELY])
    assert changes(lived(silent)) == 1
    skipped = [each for each in silent if each[1] is not NO_DATA]
    assert changes(lived(skipped)) == 1
    assert changes(lived(timed([*[QUIET] * 9, *[NO_DATA] * 24, *[QUIET] * 9]))) == 0


def test_a_constant_at_the_limit_raises_nothing() -> None:
    """What is breached from the start was never predicted, and is the real alert's matter."""
    assert set(phases(*[BREACH_FORETOLD] * 600)) == {"i"}


@given(st.integers(3, 80), st.floats(1e-6, 0.1), policies())
def test_what_flaps_about_the_cut_fires_once(cycles: int, swing: float, policy: Policy) -> None:
    """Just above and just below in turn: it stays, as just below is not under the lower cut."""
    assume(policy.clear_share < 1 and policy.raise_window >= 2 * policy.raise_ticks - 1)
    above, below = (Observation(CUT + side * swing, False, CUT) for side in (1, -1))
    states = lived(timed([above, below] * (cycles + 10)), policy)
    assert changes(states) == 1
    assert firing(states[-1])


@settings(max_examples=300)
@given(monitored(), policies())
def test_nothing_changes_twice_within_its_hold(seen: Timed, policy: Policy) -> None:
    """Between firing and not firing lie at least the ticks of the hold, but for what is given up without data."""
    moved = AlertState().changed
    for (at, _), (before, after) in zip(seen, pairwise([AlertState(), *lived(seen, policy)]), strict=True):
        if firing(before) != firing(after):
            given_up = before.missing + 1 >= policy.missing_ticks and not firing(after)
            assert at - moved >= policy.hold_ticks * STEP_SECONDS or given_up
            assert after.changed == after.since == at
            moved = at


@settings(max_examples=200)
@given(monitored(), policies(), st.sets(st.integers(0, 159)))
def test_restarts_change_nothing(seen: Timed, policy: Policy, restarts: set[int]) -> None:
    """A state that was stored as JSON and read again at any ticks leads to the same states."""
    state, states = AlertState(), []
    for tick, (at, each) in enumerate(seen):
        state = advance(stored_and_read(state) if tick in restarts else state, each, at, policy)
        states.append(state)
    assert states == lived(seen, policy)


@settings(max_examples=200)
@given(monitored(), policies())
def test_forgetting_changes_nothing(seen: Timed, policy: Policy) -> None:
    """A caller that drops what is forgettable at every tick sees the same phases, since the same ticks."""
    state, kept = AlertState(), []
    for at, each in seen:
        state = advance(state, each, at, policy)
        kept.append(state)
        state = AlertState() if forgettable(state, at, policy) else state
    pairs = list(zip(kept, lived(seen, policy), strict=True))
    assert [one.phase for one, _ in pairs] == [other.phase for _, other in pairs]
    assert all(one.since == other.since for one, other in pairs if other.phase is not Phase.INACTIVE)


@settings(max_examples=200)
@given(monitored(), policies(), st.data())
def test_missing_data_alone_changes_nothing(seen: Timed, policy: Policy, data: st.DataObject) -> None:
    """Fewer ticks without data than it takes to give up leave the phase as it was, whenever they come."""
    at, state = START, AlertState()
    if seen:
        (at, _), state = seen[-1], lived(seen, policy)[-1]
    missed = data.draw(st.integers(0, max(0, policy.missing_ticks - 1 - state.missing)))
    silent = [(at + tick * STEP_SECONDS, NO_DATA) for tick in range(1, missed + 1)]
    for after in lived(silent, policy, state):
        assert (after.phase, after.since, after.changed, after.votes) == (
            state.phase,
            state.since,
            state.changed,
            state.votes,
        )


@settings(max_examples=300)
@given(monitored(), policies())
def test_nothing_resolves_while_breached_or_predicted(seen: Timed, policy: Policy) -> None:
    """What is true or foretold at a tick goes on firing at that tick."""
    for (_, each), (before, after) in zip(seen, pairwise([AlertState(), *lived(seen, policy)]), strict=True):
        if firing(before) and each.probability is not None and (each.breached or each.probability >= each.cut):
            assert firing(after)
