import json
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from daemon.breach.decision import Candidate, PrecisionCurve, choose_decision_threshold, precision_curves
from daemon.breach.definition import DecisionThreshold, MonitoredThreshold, Severity, monitored_thresholds, thresholded
from daemon.breach.features import DAYS, HISTORY_STEPS, SameHourHistory
from daemon.breach.model import BreachModel, base_breach_model, unfitted
from daemon.breach.training import learning_origins
from daemon.breach.windows import configured_thresholds, examples, sampled_thresholds
from daemon.core.forecast import Forecast, ForecasterKind
from daemon.core.metric import Direction, Metric, Thresholds
from daemon.core.series import Panel, SeriesKey
from daemon.forecasting.baselines import Climatology
from tests.panels import START, noons

METRICS = {"load": Metric(name="load", thresholds=Thresholds(80, 90))}
KEY = SeriesKey("s", "load")
CRITICAL = MonitoredThreshold(KEY, Severity.CRITICAL, 90.0, Direction.ABOVE, "generic")


def test_thresholds_of_a_profile_take_the_place_of_the_metrics() -> None:
    """A threshold that the profile does not set is the metric's; a metric without thresholds has none to monitor."""
    metric = Metric(name="load", thresholds=Thresholds(80, 90), profile_thresholds={"ml": Thresholds(critical=99)})
    found = [(each.severity.value, each.threshold) for each in monitored_thresholds(KEY, "ml", {"load": metric})]
    assert found == [("warning", 80), ("critical", 99)]
    assert list(monitored_thresholds(KEY, "ml", {"load": Metric(name="load")})) == []
    by_profile = Metric(name="load", profile_thresholds={"ml": Thresholds(critical=99)})
    assert thresholded({"load": by_profile, "other": Metric(name="other")}) == {"load"}


def test_the_same_hour_history_of_a_threshold() -> None:
    """Clear days, days with an onset in the same hours, hours since the last onset, and the last day's share."""
    history = np.full((2, HISTORY_STEPS), 40, np.float32)
    history[0, HISTORY_STEPS - 288 + 50 : HISTORY_STEPS - 288 + 62] = 95
    history[0, HISTORY_STEPS - 2 * 288 - 3 : HISTORY_STEPS - 2 * 288 + 3] = 95
    history[0, : HISTORY_STEPS - 20 * 288] = np.nan
    days = SameHourHistory.of(history, np.array([90, 90], np.float32))
    assert days.onset[0].nonzero()[0].tolist() == [0]
    # two days before a breach was active when the hours started; a day without samples is not clear
    assert days.clear[0].tolist() == [True, False, *[True] * 18, *[False] * (DAYS - 20)]
    assert days.clear[1].all()
    assert days.hours_since.tolist() == [(288 - 50) / 12, HISTORY_STEPS / 12]
    assert days.share_of_day.tolist() == [12 / 288, 0]


def test_below_is_above_with_the_sign_changed() -> None:
    """Where low is bad, the probability is that of the mirrored series, and the peak is the lowest value."""
    panel = noons(servers=1)
    mirrored = replace(panel, values=100 - panel.values)
    origin = START + 25 * 86_400 + 8 * 3600
    model = base_breach_model()
    found = []
    for each, limit, direction in ((panel, 90.0, Direction.ABOVE), (mirrored, 10.0, Direction.BELOW)):
        monitored = MonitoredThreshold(each.keys[0], Severity.CRITICAL, limit, direction, "generic")
        forecast = Climatology({}).forecast(each, origin)
        (risk,) = model.risks(forecast, each, [monitored])
        found.append(risk)
    above, below = found
    assert below.probability == pytest.approx(above.probability, abs=0.02)
    assert (below.median_seconds, below.seen_days, below.same_hour_history) == (
        above.median_seconds,
        above.seen_days,
        above.same_hour_history,
    )
    assert above.peak is not None
    assert below.peak is not None
    assert below.peak[1] == pytest.approx(100 - above.peak[1], abs=0.5)


def test_time_to_breach_is_that_of_the_paths() -> None:
    """It is that of the median, else of the 90th percentile; without a recent sample there is no probability."""
    panel = noons(servers=1)
    origin = START + 25 * 86_400
    paths = np.full((1, 96, 7), 50, np.float32)
    paths[0, 30:, 5:] = 95
    monitored = MonitoredThreshold(panel.keys[0], Severity.CRITICAL, 90.0, Direction.ABOVE, "generic")
    forecast = Forecast(origin=origin, keys=panel.keys, paths=paths, kinds=(ForecasterKind.MODEL,))
    (risk,) = base_breach_model().risks(forecast, panel, [monitored])
    assert (risk.median_seconds, risk.early_seconds, risk.breach_seconds) == (None, 31 * 300, 31 * 300)
    stale = replace(panel, values=panel.values.copy())
    stale.values[:, (origin - START) // 300 - 5 :] = np.nan
    (unknown,) = base_breach_model().risks(forecast, stale, [monitored])
    assert (unknown.probability, unknown.value, unknown.breached) == (None, None, False)


def test_a_model_survives_its_document() -> None:
    """Written as JSON and read again it is equal; weights of another number of features are refused."""
    threshold = DecisionThreshold(
        probability=0.7, precision=0.81, recall=0.3, reached=True, chosen_on="its own threshold", windows=40
    )
    curves = precision_curves([candidate()])
    kind = ("load", Severity.CRITICAL)
    model = replace(base_breach_model(), thresholds={kind: threshold}, curves={kind: curves}, general_curves=())
    document = json.loads(json.dumps(model.document()))
    assert BreachModel.from_document(document) == model
    assert model.decision_threshold("load", Severity.CRITICAL) == threshold
    assert model.decision_threshold("load", Severity.WARNING) == model.general
    document["head"]["logistic"]["weights"].pop()
    with pytest.raises(ValueError, match="not of the features"):
        BreachModel.from_document(document)
    document["head"]["logistic"]["mean"].pop()
    document["head"]["logistic"]["deviation"].pop()
    with pytest.raises(ValueError, match="not of the features"):
        BreachModel.from_document(document)


@pytest.mark.parametrize("points", [[], [[0.9, 0, 0]], [[0.9, 20, 21]]])
def test_a_damaged_curve_is_refused(points: list[list[float]]) -> None:
    """A curve has points, and no more breaches than windows."""
    with pytest.raises(ValueError, match="a curve has no points"):
        PrecisionCurve.from_document({"chosen_on": "x", "breaches": 10, "points": points})


def candidate(seed: int = 0, windows: int = 5_000) -> Candidate:
    """Return windows of which each breaches with its probability."""
    random = np.random.default_rng(seed)
    probability = random.random(windows) ** 2
    return f"set {seed}", probability, random.random(windows) < probability


def chosen(candidates: list[Candidate], target: float) -> DecisionThreshold:
    return choose_decision_threshold(precision_curves(candidates), target)


def test_a_decision_threshold_is_the_lowest_that_reaches_the_target() -> None:
    """Of the upper 50 of 100 windows 80 % breach: less a standard error that reaches 0.7, and not 0.8."""
    probability = np.linspace(0, 1, 100)
    happened = (np.arange(100) >= 50) & (np.arange(100) % 5 > 0)
    few, plenty = ("few", probability[:5], happened[:5]), ("plenty", probability, happened)
    found = chosen([few, plenty], 0.7)
    assert found.chosen_on == "plenty"
    assert found.reached
    assert found.probability == pytest.approx(0.5, abs=0.02)
    assert found.precision == pytest.approx(0.8, abs=0.01)
    assert found.recall == 1.0
    # 0.8 of 50 windows may be 0.74, and 0.83 of the upper 24 may be less than 0.8 too
    higher = chosen([plenty], 0.8)
    assert (higher.reached, higher.windows, higher.precision) == (False, 24, pytest.approx(20 / 24))
    assert not chosen([plenty], 0.95).reached
    assert chosen([], 0.8).precision is None


def test_a_set_without_the_precision_is_passed_over() -> None:
    """The threshold is that of the next set that reaches the target, or else the most precise of all sets."""
    random = np.random.default_rng(0)
    probability = np.linspace(0, 1, 200)
    at_random, rarely = random.random(200) < 0.2, random.random(200) < 0.1
    own, rare, alike = (
        ("own", probability, at_random),
        ("rare", probability, rarely),
        ("alike", probability, probability > 0.7),
    )
    assert chosen([own, alike], 0.8).chosen_on == "alike"
    worst = chosen([rare, own], 0.8)
    assert not worst.reached
    assert worst.precision == max(chosen([each], 0.8).precision or 0 for each in (own, rare))


def test_certain_alerts_do_not_admit_improbable_ones() -> None:
    """Beside 800 certain windows, 190 at 0.1 would keep the precision: the threshold is at least one half."""
    probability = np.concatenate([np.full(800, 0.95), np.full(100, 0.6), np.full(190, 0.1)])
    happened = np.concatenate([np.full(800, True), np.arange(100) % 5 > 1, np.full(190, False)])
    found = chosen([("mixed", probability, happened)], 0.75)
    assert (found.probability, found.windows) == (0.6, 900)
    assert found.precision == pytest.approx(860 / 900)


@pytest.mark.parametrize("seeds", [(0,), (1, 2), (3, 4, 5)])
def test_a_curve_of_100_points_chooses_as_all_windows_do(seeds: tuple[int, ...]) -> None:
    """For every target of a whole percent, by the definition on all windows; the first set that reaches it decides."""
    candidates = [candidate(seed, windows=1_000 * 4**place) for place, seed in enumerate(seeds)]
    curves = precision_curves(candidates)
    assert sum(len(curve.points) for curve in curves) <= 100
    targets = [percent / 100 for percent in range(1, 100)]
    found = [choose_decision_threshold(curves, target).probability for target in targets]
    assert found == [_by_definition(candidates, target) for target in targets]
    assert len(set(found)) > 5


def _by_definition(candidates: list[Candidate], target: float) -> float:
    """Return the probability that a loop over all windows chooses."""
    most_precise = (0.0, 0.0)
    for _, probability, happened in candidates:
        reached = 0.0
        order = np.argsort(-probability)
        for count, hits in enumerate(np.cumsum(happened[order]), 1):
            precision, at = hits / count, float(probability[order[count - 1]])
            if count >= 20 and precision > most_precise[0]:
                most_precise = float(precision), at
            bound = precision - np.sqrt(precision * (1 - precision) / count)
            if count >= 20 and at >= 0.5 and bound >= target:
                reached = at
        if reached:
            return reached
    return most_precise[1]


def test_a_model_without_curves_keeps_the_target_of_its_training() -> None:
    """Its thresholds are the stored ones, and the log has both targets; at its own target nothing is logged."""
    old = base_breach_model()
    with capture_logs() as logs:
        assert base_breach_model(0.6) == old
        assert base_breach_model(0.8) == old
    assert [(line["event"], line["target_precision"], line["trained_target_precision"]) for line in logs] == [
        ("target_precision_not_applied", 0.6, 0.8)
    ]


def test_the_prior_holds_with_few_windows() -> None:
    """Three windows hardly change the weights; thousands make the probability the observed frequency."""
    random = np.random.default_rng(0)
    features = random.normal(size=(4000, 2))
    happened = random.random(4000) < 1 / (1 + np.exp(-2 * features[:, 0]))
    start = unfitted(features, happened)
    few, many = start.fitted(features[:3], happened[:3]), start.fitted(features, happened)
    assert np.allclose(few.weights, start.weights, atol=0.1)
    assert many.weights[0] == pytest.approx(2, abs=0.25)
    chance = many.probability(features)
    assert abs(chance[chance > 0.7].mean() - happened[chance > 0.7].mean()) < 0.03


def test_the_weights_are_the_minimum_of_the_loss() -> None:
    """On a fleet's windows they are within 1e-4 of it: the loss is strongly convex with the prior's precision, 30."""
    panel = noons()
    (found,) = examples(panel, learning_origins(panel, panel.end), Climatology({}), [sampled_thresholds(0)])
    start = unfitted(found.features, found.happened)
    fitted = start.fitted(found.features, found.happened)
    inputs = np.clip((found.features - start.mean) / start.deviation, -4, 4)
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    moved = np.subtract(fitted.weights, start.weights)
    gradient = inputs.T @ (fitted.probability(found.features) - found.happened) + 30 * moved
    assert np.linalg.norm(gradient) / 30 < 1e-4
    assert np.linalg.norm(moved) > 0.1


def test_rare_peaks_do_not_throw_the_weights_off() -> None:
    """From afar, full Newton steps on a feature that is rarely large end at a weight of the wrong sign."""
    random = np.random.default_rng(0)
    peaks = random.exponential(size=(20_000, 1)) ** 3 + 0.3 * random.normal(size=(20_000, 1))
    standard = np.clip((peaks - peaks.mean()) / peaks.std(), -4, 4)[:, 0]
    happened = random.random(20_000) < 1 / (1 + np.exp(4 - 1.5 * standard))
    fitted = unfitted(peaks, happened).fitted(peaks, happened)
    assert fitted.weights == pytest.approx((1.5, -4), abs=0.2)


def test_a_steady_rise_without_recurrence_is_more_probable() -> None:
    """With the same paths, a server that fills steadily breaches more probably than one that rests at its level."""
    steps = HISTORY_STEPS
    random = np.random.default_rng(0)
    filling = np.full(steps, 40.0)
    filling[-144:] += np.linspace(0, 44, 144)
    resting = np.full(steps, 40.0)
    resting[-144:] = 84.0
    values = np.stack([filling, resting]) + random.normal(0, 0.5, (2, steps))
    keys = (SeriesKey("a", "load"), SeriesKey("b", "load"))
    panel = Panel(keys, START, values.astype(np.float32))
    paths = np.broadcast_to(np.linspace(70, 89, 7, dtype=np.float32), (2, 96, 7))
    forecast = Forecast(origin=panel.end, keys=keys, paths=paths, kinds=(ForecasterKind.MODEL,) * 2)
    monitored = [MonitoredThreshold(key, Severity.CRITICAL, 90.0, Direction.ABOVE, "generic") for key in keys]
    rising, level = (risk.probability or 0 for risk in base_breach_model().risks(forecast, panel, monitored))
    assert rising > 2 * level


def test_examples_are_clear_and_have_an_outcome() -> None:
    """No window is within 2 h of a breach, or has few samples after its origin."""
    panel = noons(servers=1)
    origin = START + 25 * 86_400 + 14 * 3600
    sample = configured_thresholds({"load": Metric(name="load", thresholds=Thresholds(critical=90))})
    near, later = origin + 3600, origin + 3 * 3600
    (found,) = examples(panel, [near, later], Climatology({}), [sample])
    assert found.origins.tolist() == [later]
    gap = replace(panel, values=panel.values.copy())
    gap.values[:, (later - START) // 300 + 20 :] = np.nan
    (none,) = examples(gap, [later], Climatology({}), [sample])
    assert len(none.onset) == 0


def test_a_step_past_the_threshold_hides_no_breach() -> None:
    """One step an hour before is no breach, so the window counts; one at the origin may be the start of a breach."""
    panel = noons(servers=1)
    origin = START + 25 * 86_400 + 6 * 3600
    at = (origin - START) // 300
    sample = configured_thresholds({"load": Metric(name="load", thresholds=Thresholds(critical=90))})
    for before, onsets in ((12, [72]), (0, [])):
        flickered = replace(panel, values=panel.values.copy())
        flickered.values[:, at - before] = 95
        (found,) = examples(flickered, [origin], Climatology({}), [sample])
        assert found.onset.tolist() == onsets
    # nor do steps in the hours after it
    flickered.values[:, at] = 40
    flickered.values[:, [at + 20, at + 60, at + 70]] = 95
    (found,) = examples(flickered, [origin], Climatology({}), [sample])
    assert found.onset.tolist() == [72]


def test_learning_origins_keep_to_the_span() -> None:
    """The first is a week after the start, or in the middle of a shorter history; all 8 h end within the history."""
    panel = noons(days=20)
    origins = learning_origins(panel, panel.end - 86_400)
    assert origins[0] >= START + 7 * 86_400
    assert origins[-1] + 8 * 3600 <= panel.end - 86_400
    assert all(origin % 300 == 0 for origin in origins)
    short = noons(days=3)
    assert learning_origins(short, short.end)[0] < START + 2 * 86_400
    assert learning_origins(short, START) == []
