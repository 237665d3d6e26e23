from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.alerting.outcomes import Kind, Outcome, Prediction, figures_by_kind, judged, kind_of, prediction_figures
from daemon.breach.definition import BREACH_STEPS, CLEAR_STEPS, Severity
from tests.panels import START

STEP, HOUR = 300, 3600
CPU: Kind = ("web-1", "cpu_pct", Severity.CRITICAL)
DISK: Kind = ("web-1", "disk_pct", Severity.WARNING)
PROFILES = {CPU: "web", DISK: "web"}


def prediction(made: int, kind: Kind = CPU) -> Prediction:
    server, metric, severity = kind
    return Prediction(
        server=server, metric=metric, severity=severity, profile="web", made=made, probability=0.7, model="model-1"
    )


def judge(
    ledger: Sequence[Prediction], at: int, *onsets: int, known: float = 1.0, kind: Kind = CPU
) -> tuple[Prediction, ...]:
    return judged(ledger, {kind: onsets} if onsets else {}, PROFILES, lambda _: known, at)


def outcomes(lines: Sequence[Prediction]) -> list[str | None]:
    return [line.outcome and line.outcome.value for line in lines]


def test_a_breach_within_eight_hours_is_a_hit() -> None:
    """The eighth hour's end counts, the onset is remembered, and the lead is the time to it."""
    (line,) = judge([prediction(START)], START + HOUR, START + STEP)
    assert line == replace(prediction(START), outcome=Outcome.HIT, onset=START + STEP)
    assert line.lead_seconds == STEP
    (line,) = judge([prediction(START)], START + 9 * HOUR, START + 8 * HOUR)
    assert (line.outcome, line.lead_seconds) == (Outcome.HIT, 8 * HOUR)
    lines = judge([prediction(START)], START + 9 * HOUR, START + 8 * HOUR + STEP)
    assert outcomes(lines) == ["false", "missed"]


def test_a_prediction_of_what_had_begun_is_late() -> None:
    """It is late up to two hours after the onset, has no lead, and the breach is no missed one besides."""
    for ago in (0, STEP, 2 * HOUR):
        (line,) = judge([prediction(START)], START + STEP, START - ago)
        assert (line.outcome, line.onset, line.lead_seconds) == (Outcome.LATE, START - ago, None)
    assert outcomes(judge([prediction(START)], START + STEP, START - 2 * HOUR - STEP)) == ["missed", None]


def test_late_goes_before_a_later_hit() -> None:
    """What can be told at once is not told otherwise hours later."""
    (line,) = judge([prediction(START)], START + 9 * HOUR, START - HOUR, START + 2 * HOUR)
    assert (line.outcome, line.onset) == (Outcome.LATE, START - HOUR)


def test_nothing_within_eight_hours_is_false_once_samples_had_time_to_arrive() -> None:
    """An hour after the eight it is told, and what comes then changes nothing."""
    made = [prediction(START)]
    assert outcomes(judge(made, START + 9 * HOUR - STEP)) == [None]
    lines = judge(made, START + 9 * HOUR)
    assert outcomes(lines) == ["false"]
    assert lines[0].onset is None
    assert judge(lines, START + 10 * HOUR, known=0.0) == lines


def test_too_few_samples_leave_it_unknown() -> None:
    """Half of them are enough to say that nothing happened, and any breach is one however few there are."""
    made = [prediction(START)]
    assert outcomes(judge(made, START + 9 * HOUR, known=0.5)) == ["false"]
    assert outcomes(judge(made, START + 9 * HOUR, known=0.49)) == ["unknown"]
    assert outcomes(judge(made, START + 9 * HOUR, START + HOUR, known=0.1)) == ["hit"]


def test_a_breach_that_was_not_foretold_is_missed() -> None:
    """It gets a line of its own at its onset, that claimed nothing, and only one however often it is given."""
    lines = judge([], START + STEP, START)
    assert lines == (replace(prediction(START), probability=0.0, model="", outcome=Outcome.MISSED, onset=START),)
    assert judge(lines, START + 2 * STEP, START, START) == lines


def test_a_moved_onset_is_the_same_breach() -> None:
    """A late sample may show that a breach began a step earlier; it was missed once all the same."""
    lines = judge([], START + STEP, START)
    assert judge(lines, START + HOUR, START - STEP) == lines
    assert judge([], START + HOUR, START + STEP, START) == lines
    assert outcomes(judge(lines, START + 3 * HOUR, START + 2 * HOUR + 3 * STEP)) == ["missed", "missed"]


def test_predictions_of_others_foretell_nothing() -> None:
    """Server, metric and severity must be the same."""
    others = [
        prediction(START - HOUR, kind)
        for kind in (DISK, ("web-2", *CPU[1:]), ("web-1", "cpu_pct", Severity.WARNING), ("web-1", "mem_pct", CPU[2]))
    ]
    lines = judge(others, START + STEP, START)
    assert outcomes(lines) == [None, None, None, None, "missed"]
    assert kind_of(lines[-1]) == CPU


def test_a_second_breach_within_the_eight_hours_was_foretold_too() -> None:
    """It makes no second hit and is not missed; after the eight hours it is."""
    lines = judge([prediction(START)], START + 2 * HOUR, START + HOUR)
    assert judge(lines, START + 6 * HOUR, START + 5 * HOUR) == lines
    assert outcomes(judge(lines, START + 12 * HOUR, START + 8 * HOUR + STEP)) == ["hit", "missed"]


def test_a_false_or_unknown_prediction_foretells_nothing_more() -> None:
    """A breach after it is missed, unless the caller renews the prediction of an alert that still fires."""
    false = judge([prediction(START)], START + 9 * HOUR)
    assert outcomes(judge(false, START + 11 * HOUR, START + 10 * HOUR)) == ["false", "missed"]
    renewed = [*false, prediction(START + 9 * HOUR)]
    assert outcomes(judge(renewed, START + 11 * HOUR, START + 10 * HOUR)) == ["false", "hit"]


def test_a_missed_breach_loses_its_line_to_a_late_prediction() -> None:
    """The alert that fires an hour into a breach is late, and then one line tells of it, also after a restart."""
    missed = judge([], START + STEP, START)
    lines = judge([*missed, prediction(START + HOUR)], START + HOUR, START)
    assert outcomes(lines) == ["late"]
    assert judge([*missed, *lines], START + 2 * HOUR) == lines


def test_lines_are_in_the_order_of_time() -> None:
    """Missed breaches lie among the predictions as they happened."""
    lines = judge([prediction(START + 12 * HOUR), prediction(START - 24 * HOUR, DISK)], START + 12 * HOUR, START)
    assert [line.made - START for line in lines] == [-24 * HOUR, 0, 12 * HOUR]


def test_figures_count_each_outcome() -> None:
    """Precision is of the judged alerts and recall of the breaches; the unknown and the open count for neither."""
    ledger = _ledger(hit=6, late=1, false=3, missed=2, unknown=5, open_=4)
    figures = prediction_figures(ledger)
    assert (figures.hits, figures.late, figures.false, figures.missed) == (6, 1, 3, 2)
    assert (figures.unknown, figures.open) == (5, 4)
    assert figures.precision == pytest.approx(0.6)
    assert figures.recall == pytest.approx(6 / 9)


def test_lead_times_are_those_of_the_hits() -> None:
    """The median lies between the middle ones of an even number."""
    figures = prediction_figures(_ledger(hit=4, late=2, missed=2))
    assert figures.lead_seconds == (STEP, 2 * STEP, 3 * STEP, 4 * STEP)
    assert figures.median_lead_seconds == 2.5 * STEP


def test_nothing_counted_is_no_ratio() -> None:
    """An empty ledger has neither precision, recall nor a median; one without breaches has no recall."""
    empty = prediction_figures(())
    assert (empty.precision, empty.recall, empty.median_lead_seconds) == (None, None, None)
    quiet, unforeseen = prediction_figures(_ledger(false=1)), prediction_figures(_ledger(missed=1))
    assert (quiet.precision, quiet.recall) == (0.0, None)
    assert (unforeseen.precision, unforeseen.recall) == (None, 0.0)


def test_figures_by_kind_are_over_all_servers() -> None:
    """Metric and severity tell them apart; each has the figures of its own lines."""
    web_2 = [replace(line, server="web-2") for line in _ledger(hit=1, false=1)]
    disk = [replace(line, metric="disk_pct") for line in _ledger(missed=2)]
    warning = [replace(line, severity=Severity.WARNING) for line in _ledger(late=1)]
    found = figures_by_kind([*_ledger(hit=2), *web_2, *disk, *warning])
    assert found == {
        ("cpu_pct", Severity.CRITICAL): prediction_figures([*_ledger(hit=2), *web_2]),
        ("disk_pct", Severity.CRITICAL): prediction_figures(disk),
        ("cpu_pct", Severity.WARNING): prediction_figures(warning),
    }
    assert figures_by_kind(()) == {}


def _ledger(
    hit: int = 0, late: int = 0, false: int = 0, *, missed: int = 0, unknown: int = 0, open_: int = 0
) -> list[Prediction]:
    counts = {Outcome.HIT: hit, Outcome.LATE: late, Outcome.FALSE: false, Outcome.MISSED: missed}
    counted = [*counts.items(), (Outcome.UNKNOWN, unknown), (None, open_)]
    leads = {Outcome.HIT: 1, Outcome.LATE: -1, Outcome.MISSED: 0}
    return [
        replace(prediction(START), outcome=outcome, onset=START + number * leads[outcome] * STEP)
        if outcome in leads
        else replace(prediction(START), outcome=outcome)
        for outcome, count in counted
        for number in range(1, count + 1)
    ]


LAST = 300
"""Steps in which predictions are made and breaches begin in the property tests."""
DONE = LAST + 200
LEAST_APART = CLEAR_STEPS + BREACH_STEPS

History = tuple[dict[Kind, list[int]], dict[Kind, list[int]]]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw the steps at which predictions are made, and those at which breaches begin, as far apart as they must be."""
    made, onsets = {}, {}
    for kind in (CPU, DISK):
        made[kind] = sorted(draw(st.sets(st.integers(0, LAST), max_size=6)))
        gaps = draw(st.lists(st.integers(LEAST_APART, 120), max_size=8))
        onsets[kind] = [sum(gaps[: number + 1]) for number in range(len(gaps)) if sum(gaps[: number + 1]) <= LAST]
    return made, onsets


def followed(history: History, looks: Sequence[int], known: float = 1.0) -> tuple[Prediction, ...]:
    """Return the ledger after judging it at the steps ``looks``, with all that had been made and seen by then."""
    made, onsets = history
    ledger: tuple[Prediction, ...] = ()
    for before, step in pairwise([-1, *looks]):
        new = [prediction(_time(one), kind) for kind in made for one in made[kind] if before < one <= step]
        seen = _seen(onsets, before - CLEAR_STEPS, step)
        ledger = judged([*ledger, *new], seen, PROFILES, lambda _: known, _time(step))
    return ledger


def _seen(onsets: Mapping[Kind, Sequence[int]], since: int, step: int) -> dict[Kind, list[int]]:
    """Return the onsets that show by ``step``: a breach is one when it has lasted for three steps."""
    shown = BREACH_STEPS - 1
    return {kind: [_time(one) for one in steps if since < one + shown <= step] for kind, steps in onsets.items()}


def _time(step: int) -> int:
    return START + step * STEP


looks = st.sets(st.integers(0, DONE - 1), max_size=60).map(lambda steps: [*sorted(steps), DONE])


@settings(max_examples=100, deadline=None)
@given(histories(), looks, looks)
def test_the_ledger_is_the_same_however_the_ticks_are_split(
    history: History, some: list[int], others: list[int]
) -> None:
    """A service that looked rarely, or was away, comes to the same lines in the end."""
    assert followed(history, some) == followed(history, others)


@settings(max_examples=60, deadline=None)
@given(histories())
def test_looking_at_every_tick_or_once_is_the_same(history: History) -> None:
    """The finest and the coarsest split agree."""
    assert followed(history, range(DONE + 1)) == followed(history, [DONE])


@settings(max_examples=100, deadline=None)
@given(histories(), looks, st.sampled_from([0.0, 0.49, 0.5, 1.0]))
def test_every_prediction_has_one_outcome_and_every_breach_is_accounted_for(
    history: History, trigger_check: list[int], known: float
) -> None:
    """No prediction is lost, doubled or left open, and each breach is missed or was foretold, never both."""
    made, onsets = history
    ledger = followed(history, trigger_check, known)
    for kind in (CPU, DISK):
        lines = [line for line in ledger if kind_of(line) == kind]
        judged_lines = [line for line in lines if line.outcome is not Outcome.MISSED]
        assert [line.made for line in judged_lines] == [_time(step) for step in made[kind]]
        assert all(line.outcome is _expected(line.made, onsets[kind], known) for line in judged_lines)
        missed = [line.onset for line in lines if line.outcome is Outcome.MISSED]
        right = {line.made: line for line in judged_lines if line.outcome in {Outcome.HIT, Outcome.LATE}}
        foretold = {onset for onset in map(_time, onsets[kind]) for one in right if _within(one, onset)}
        assert missed == [onset for onset in map(_time, onsets[kind]) if onset not in foretold]


@settings(max_examples=100, deadline=None)
@given(histories(), looks, st.integers(0, 1000))
def test_judging_again_changes_nothing(history: History, trigger_check: list[int], later: int) -> None:
    """Whatever onsets are given once more, and however much later, a judged ledger stays as it is."""
    ledger = followed(history, trigger_check)
    every = _seen(history[1], -1, DONE)
    assert judged(ledger, every, PROFILES, lambda _: 0.0, _time(DONE + later)) == ledger


def _within(made: int, onset: int) -> bool:
    return made - 2 * HOUR <= onset <= made + 8 * HOUR


def _expected(made: int, onsets: Sequence[int], known: float) -> Outcome:
    near = [onset - made for onset in map(_time, onsets) if _within(made, onset)]
    if not near:
        return Outcome.FALSE if known >= 0.5 else Outcome.UNKNOWN
    return Outcome.LATE if near[0] <= 0 else Outcome.HIT
