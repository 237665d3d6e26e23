"""How an alert goes from one tick to the next; pure, so that a restart in between changes nothing."""

from dataclasses import replace

from daemon.domain.alerts import AlertState, Observation, Phase, Policy
from daemon.domain.grid import STEP_SECONDS


def advance(state: AlertState, seen: Observation, at: int, policy: Policy) -> AlertState:
    """Return the state after the tick ``at`` (epoch seconds) that saw ``seen``.

    Without data nothing changes: an alert is neither raised nor resolved. Only after ``missing_ticks`` such ticks in a
    row it is given up, as its server is gone. Ticks that were skipped count as time, but they have no vote.
    """
    if seen.probability is None:
        return _without_data(state, at, policy)
    if state.phase is Phase.FIRING:
        return _firing(state, seen.probability, seen, at, policy)
    return _waiting(state, seen.probability, seen, at, policy)


def forgettable(state: AlertState, at: int, policy: Policy) -> bool:
    """Return whether ``state`` says no more than a new one would, so that it need not be kept."""
    return state.phase is Phase.INACTIVE and not any(state.votes) and _hold_is_over(state, at, policy)


def _without_data(state: AlertState, at: int, policy: Policy) -> AlertState:
    missing = state.missing + 1
    if state.phase is Phase.INACTIVE or missing < policy.missing_ticks:
        return replace(state, missing=missing)
    return AlertState(since=at, changed=at if state.phase is Phase.FIRING else state.changed)


def _waiting(state: AlertState, probability: float, seen: Observation, at: int, policy: Policy) -> AlertState:
    predicted = probability >= seen.cut and not seen.breached
    votes = (*state.votes, predicted)[-policy.raise_window :]
    # what was foretold and comes true while it waits for more votes must not be lost
    due = sum(votes) >= policy.raise_ticks or (seen.breached and state.phase is Phase.PENDING)
    if due and _hold_is_over(state, at, policy):
        return AlertState(Phase.FIRING, at, at)
    phase = Phase.PENDING if any(votes) else Phase.INACTIVE
    since = state.since if phase is state.phase else at
    return AlertState(phase, since, state.changed, votes)


def _firing(state: AlertState, probability: float, seen: Observation, at: int, policy: Policy) -> AlertState:
    quiet = probability < seen.cut * policy.clear_share and not seen.breached
    votes = (*state.votes, quiet)[-policy.clear_window :]
    # whatever the votes before it say, nothing is resolved at a tick that is not quiet itself
    if quiet and sum(votes) >= policy.clear_ticks and _hold_is_over(state, at, policy):
        return AlertState(since=at, changed=at)
    return AlertState(Phase.FIRING, state.since, state.changed, votes)


def _hold_is_over(state: AlertState, at: int, policy: Policy) -> bool:
    return not state.changed or at - state.changed >= policy.hold_ticks * STEP_SECONDS
