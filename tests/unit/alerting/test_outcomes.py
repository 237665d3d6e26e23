"""Outcomes of predictions, and the figures of the prediction log."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.alerting.outcomes import (
    Outcome,
    Prediction,
    ThresholdKey,
    figures_by_kind,
    prediction_figures,
    with_outcomes,
)
from daemon.breach.definition import BREACH_STEPS, CLEAR_STEPS, Severity
from tests.panels import START

STEP, HOUR = 300, 3600
CPU: ThresholdKey = ("web-1", "cpu_pct", Severity.CRITICAL)
DISK: ThresholdKey = ("web-1", "disk_pct", Severity.WARNING)
PROFILES = {CPU: "web", DISK: "web"}


def prediction(made: int, key: ThresholdKey = CPU) -> Prediction:
    server, metric, severity = key
    return Prediction(
        server=server, metric=metric, severity=severity, profile="web", made=made, probability=0.7, model="model-1"
    )


def updated(
    log: Sequence[Prediction], at: int, *onsets: int, known: float = 1.0, key: ThresholdKey = CPU
) -> tuple[Prediction, ...]:
    return with_outcomes(log, {key: onsets} if onsets else {}, PROFILES, lambda _: known, at)


def outcomes(records: Sequence[Prediction]) -> list[str | None]:
    return [record.outcome and record.outcome.value for record in records]


def test_a_breach_within_eight_hours_is_a_hit() -> None:
    """The end of the eighth hour counts, the onset is kept, and the lead time is the time to it."""
    (record,) = updated([prediction(START)], START + HOUR, START + STEP)
    assert record == replace(prediction(START), outcome=Outcome.HIT, onset=START + STEP)
    assert record.lead_seconds == STEP
    (record,) = updated([prediction(START)], START + 9 * HOUR, START + 8 * HOUR)
    assert (record.outcome, record.lead_seconds) == (Outcome.HIT, 8 * HOUR)
    records = updated([prediction(START)], START + 9 * HOUR, START + 8 * HOUR + STEP)
    assert outcomes(records) == ["false", "missed"]


def test_a_prediction_after_the_onset_is_late() -> None:
    """It is late up to two hours after the onset, has no lead time, and the breach is not missed as well."""
    for ago in (0, STEP, 2 * HOUR):
        (record,) = updated([prediction(START)], START + STEP, START - ago)
        assert (record.outcome, record.onset, record.lead_seconds) == (Outcome.LATE, START - ago, None)
    assert outcomes(updated([prediction(START)], START + STEP, START - 2 * HOUR - STEP)) == ["missed", None]


def test_late_goes_before_a_later_hit() -> None:
    """An outcome that is known at once does not change hours later."""
    (record,) = updated([prediction(START)], START + 9 * HOUR, START - HOUR, START + 2 * HOUR)
    assert (record.outcome, record.onset) == (Outcome.LATE, START - HOUR)


def test_nothing_within_eight_hours_is_false_once_samples_had_time_to_arrive() -> None:
    """It is known an hour after the eight, and later samples change nothing."""
    made = [prediction(START)]
    assert outcomes(updated(made, START + 9 * HOUR - STEP)) == [None]
    records = updated(made, START + 9 * HOUR)
    assert outcomes(records) == ["false"]
    assert records[0].onset is None
    assert updated(records, START + 10 * HOUR, known=0.0) == records


def test_too_few_samples_leave_it_unknown() -> None:
    """Half of them show that no breach began; a breach is a hit however few there are."""
    made = [prediction(START)]
    assert outcomes(updated(made, START + 9 * HOUR, known=0.5)) == ["false"]
    assert outcomes(updated(made, START + 9 * HOUR, known=0.49)) == ["unknown"]
    assert outcomes(updated(made, START + 9 * HOUR, START + HOUR, known=0.1)) == ["hit"]


def test_a_breach_without_a_prediction_is_missed() -> None:
    """It has one record at its onset, with probability 0, however often the onset is passed."""
    records = updated([], START + STEP, START)
    assert records == (replace(prediction(START), probability=0.0, model="", outcome=Outcome.MISSED, onset=START),)
    assert updated(records, START + 2 * STEP, START, START) == records


def test_a_moved_onset_is_the_same_breach() -> None:
    """A late sample may move an onset by a step; the breach is still missed once."""
    records = updated([], START + STEP, START)
    assert updated(records, START + HOUR, START - STEP) == records
    assert updated([], START + HOUR, START + STEP, START) == records
    assert outcomes(updated(records, START + 3 * HOUR, START + 2 * HOUR + 3 * STEP)) == ["missed", "missed"]


def test_predictions_of_another_kind_do_not_count() -> None:
    """Server, metric and severity must be the same."""
    others = [
        prediction(START - HOUR, kind)
        for kind in (DISK, ("web-2", *CPU[1:]), ("web-1", "cpu_pct", Severity.WARNING), ("web-1", "mem_pct", CPU[2]))
    ]
    records = updated(others, START + STEP, START)
    assert outcomes(records) == [None, None, None, None, "missed"]
    assert records[-1].threshold_key == CPU


def test_a_second_breach_within_the_eight_hours_counts_as_predicted() -> None:
    """It is no second hit and not missed; after the eight hours it is missed."""
    records = updated([prediction(START)], START + 2 * HOUR, START + HOUR)
    assert updated(records, START + 6 * HOUR, START + 5 * HOUR) == records
    assert outcomes(updated(records, START + 12 * HOUR, START + 8 * HOUR + STEP)) == ["hit", "missed"]


def test_after_a_false_prediction_a_breach_is_missed() -> None:
    """Unless the caller adds a new prediction for the alert that still fires."""
    false = updated([prediction(START)], START + 9 * HOUR)
    assert outcomes(updated(false, START + 11 * HOUR, START + 10 * HOUR)) == ["false", "missed"]
    renewed = [*false, prediction(START + 9 * HOUR)]
    assert outcomes(updated(renewed, START + 11 * HOUR, START + 10 * HOUR)) == ["false", "hit"]


def test_a_late_prediction_replaces_the_missed_breach() -> None:
    """An alert that fires an hour into a breach is late, and the breach has one record, also after a restart."""
    missed = updated([], START + STEP, START)
    records = updated([*missed, prediction(START + HOUR)], START + HOUR, START)
    assert outcomes(records) == ["late"]
    assert updated([*missed, *records], START + 2 * HOUR) == records


def test_records_are_in_the_order_of_time() -> None:
    """Missed breaches are between the predictions, by their onset."""
    records = updated([prediction(START + 12 * HOUR), prediction(START - 24 * HOUR, DISK)], START + 12 * HOUR, START)
    assert [record.made - START for record in records] == [-24 * HOUR, 0, 12 * HOUR]


def test_figures_count_each_outcome() -> None:
    """Precision is of the scored alerts, recall of the breaches; unknown and open ones count for neither."""
    log = _log(hit=6, late=1, false=3, missed=2, unknown=5, open_=4)
    figures = prediction_figures(log)
    assert (figures.hits, figures.late, figures.false, figures.missed) == (6, 1, 3, 2)
    assert (figures.unknown, figures.open) == (5, 4)
    assert figures.precision == pytest.approx(0.6)
    assert figures.recall == pytest.approx(6 / 9)


def test_lead_times_are_those_of_the_hits() -> None:
    """The median of an even number is between the two middle ones."""
    figures = prediction_figures(_log(hit=4, late=2, missed=2))
    assert figures.lead_seconds == (STEP, 2 * STEP, 3 * STEP, 4 * STEP)
    assert figures.median_lead_seconds == 2.5 * STEP


def test_a_ratio_without_a_count_is_none() -> None:
    """An empty log has no precision, recall or median; a log without breaches has no recall."""
    empty = prediction_figures(())
    assert (empty.precision, empty.recall, empty.median_lead_seconds) == (None, None, None)
    without_breach, without_alert = prediction_figures(_log(false=1)), prediction_figures(_log(missed=1))
    assert (without_breach.precision, without_breach.recall) == (0.0, None)
    assert (without_alert.precision, without_alert.recall) == (None, 0.0)


def test_figures_by_kind_are_over_all_servers() -> None:
    """Each metric and severity has the figures of its own records."""
    web_2 = [replace(record, server="web-2") for record in _log(hit=1, false=1)]
    disk = [replace(record, metric="disk_pct") for record in _log(missed=2)]
    warning = [replace(record, severity=Severity.WARNING) for record in _log(late=1)]
    found = figures_by_kind([*_log(hit=2), *web_2, *disk, *warning])
    assert found == {
        ("cpu_pct", Severity.CRITICAL): prediction_figures([*_log(hit=2), *web_2]),
        ("disk_pct", Severity.CRITICAL): prediction_figures(disk),
        ("cpu_pct", Severity.WARNING): prediction_figures(warning),
    }
    assert figures_by_kind(()) == {}


def _log(
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

History = tuple[dict[ThresholdKey, list[int]], dict[ThresholdKey, list[int]]]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw the steps at which predictions are made, and those at which breaches begin, as far apart as they must be."""
    made, onsets = {}, {}
    for kind in (CPU, DISK):
        made[kind] = sorted(draw(st.sets(st.integers(0, LAST), max_size=6)))
        gaps = draw(st.lists(st.integers(LEAST_APART, 120), max_size=8))
        onsets[kind] = [sum(gaps[: number + 1]) for number in range(len(gaps)) if sum(gaps[: number + 1]) <= LAST]
    return made, onsets


def followed(history: History, updates: Sequence[int], known: float = 1.0) -> tuple[Prediction, ...]:
    """Return the log after updates at the steps ``updates``, with the predictions and onsets up to then."""
    made, onsets = history
    log: tuple[Prediction, ...] = ()
    for before, step in pairwise([-1, *updates]):
        new = [prediction(_time(one), kind) for kind in made for one in made[kind] if before < one <= step]
        seen = _seen(onsets, before - CLEAR_STEPS, step)
        log = with_outcomes([*log, *new], seen, PROFILES, lambda _: known, _time(step))
    return log


def _seen(onsets: Mapping[ThresholdKey, Sequence[int]], since: int, step: int) -> dict[ThresholdKey, list[int]]:
    """Return the onsets that are visible at ``step``: a breach is one after three steps."""
    shown = BREACH_STEPS - 1
    return {kind: [_time(one) for one in steps if since < one + shown <= step] for kind, steps in onsets.items()}


def _time(step: int) -> int:
    return START + step * STEP


update_steps = st.sets(st.integers(0, DONE - 1), max_size=60).map(lambda steps: [*sorted(steps), DONE])


@settings(max_examples=100, deadline=None)
@given(histories(), update_steps, update_steps)
def test_the_log_does_not_depend_on_how_often_it_is_updated(
    history: History, some: list[int], others: list[int]
) -> None:
    """A service that had few ticks, or was stopped, ends with the same records."""
    assert followed(history, some) == followed(history, others)


@settings(max_examples=60, deadline=None)
@given(histories())
def test_an_update_at_every_tick_or_only_once_is_the_same(history: History) -> None:
    """The finest and the coarsest split give the same log."""
    assert followed(history, range(DONE + 1)) == followed(history, [DONE])


@settings(max_examples=100, deadline=None)
@given(histories(), update_steps, st.sampled_from([0.0, 0.49, 0.5, 1.0]))
def test_every_prediction_has_one_outcome_and_every_breach_is_accounted_for(
    history: History, updates: list[int], known: float
) -> None:
    """No prediction is lost, doubled or left open, and each breach is missed or predicted, never both."""
    made, onsets = history
    log = followed(history, updates, known)
    for kind in (CPU, DISK):
        records = [record for record in log if record.threshold_key == kind]
        predictions = [record for record in records if record.outcome is not Outcome.MISSED]
        assert [record.made for record in predictions] == [_time(step) for step in made[kind]]
        assert all(record.outcome is _expected(record.made, onsets[kind], known) for record in predictions)
        missed = [record.onset for record in records if record.outcome is Outcome.MISSED]
        right = {record.made: record for record in predictions if record.outcome in {Outcome.HIT, Outcome.LATE}}
        predicted = {onset for onset in map(_time, onsets[kind]) for one in right if _within(one, onset)}
        assert missed == [onset for onset in map(_time, onsets[kind]) if onset not in predicted]


@settings(max_examples=100, deadline=None)
@given(histories(), update_steps, st.integers(0, 1000))
def test_a_known_outcome_does_not_change(history: History, updates: list[int], later: int) -> None:
    """A complete log is the same after another update with the same onsets, however much later."""
    log = followed(history, updates)
    every = _seen(history[1], -1, DONE)
    assert with_outcomes(log, every, PROFILES, lambda _: 0.0, _time(DONE + later)) == log


def _within(made: int, onset: int) -> bool:
    return made - 2 * HOUR <= onset <= made + 8 * HOUR


def _expected(made: int, onsets: Sequence[int], known: float) -> Outcome:
    near = [onset - made for onset in map(_time, onsets) if _within(made, onset)]
    if not near:
        return Outcome.FALSE if known >= 0.5 else Outcome.UNKNOWN
    return Outcome.LATE if near[0] <= 0 else Outcome.HIT
