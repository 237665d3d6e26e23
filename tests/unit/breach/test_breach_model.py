import json
from dataclasses import replace

import numpy as np
import pytest

from daemon.breach.decision import choose_decision_threshold
from daemon.breach.definition import DecisionThreshold, MonitoredThreshold, Severity, monitored_thresholds, thresholded
from daemon.breach.features import DAYS, HISTORY_STEPS, SameHourHistory
from daemon.breach.model import BreachModel, base_breach_model, unfitted
from daemon.breach.training import learn, learning_origins, measure
from daemon.breach.windows import configured, examples, sampled
from daemon.core.forecast import Forecast, ForecasterKind
from daemon.core.metric import Direction, Metric, Thresholds
from daemon.core.series import Panel, SeriesKey
from daemon.forecasting.baselines import Climatology
from tests.panels import START

METRICS = {"load": Metric(name="load", thresholds=Thresholds(80, 90))}
KEY = SeriesKey("s", "load")
CRITICAL = MonitoredThreshold(KEY, Severity.CRITICAL, 90.0, Direction.ABOVE, "generic")


def noons(days: int = 28, servers: int = 3, seed: int = 0) -> Panel:
    """Return servers of which the first is past 90 every noon, the second on some days, the third never."""
    random = np.random.default_rng(seed)
    steps = np.arange(days * 288)
    noon = (steps % 288 >= 144) & (steps % 288 < 168)
    some_days = np.repeat(random.random(days) < 0.4, 288)
    values = np.full((3, len(steps)), 40.0) + random.normal(0, 1, (3, len(steps)))
    values[0] += 55 * noon
    values[1] += 55 * (noon & some_days)
    keys = tuple(SeriesKey(f"s{row}", "load") for row in range(servers))
    return Panel(keys, START, values[:servers].astype(np.float32))


def test_thresholds_of_a_profile_take_the_place_of_the_metrics() -> None:
    """Where a profile has only one of the two, the other is the metric's; a metric without thresholds has no watch."""
    metric = Metric(name="load", thresholds=Thresholds(80, 90), profile_thresholds={"ml": Thresholds(critical=99)})
    found = [(each.severity.value, each.threshold) for each in monitored_thresholds(KEY, "ml", {"load": metric})]
    assert found == [("warning", 80), ("critical", 99)]
    assert list(monitored_thresholds(KEY, "ml", {"load": Metric(name="load")})) == []
    by_profile = Metric(name="load", profile_thresholds={"ml": Thresholds(critical=99)})
    assert thresholded({"load": by_profile, "other": Metric(name="other")}) == {"load"}


def test_the_past_of_a_threshold() -> None:
    """Days whose same hours began quietly, those that saw a breach, hours since the last, and the last day's share."""
    history = np.full((2, HISTORY_STEPS), 40, np.float32)
    history[0, HISTORY_STEPS - 288 + 50 : HISTORY_STEPS - 288 + 62] = 95
    history[0, HISTORY_STEPS - 2 * 288 - 3 : HISTORY_STEPS - 2 * 288 + 3] = 95
    history[0, : HISTORY_STEPS - 20 * 288] = np.nan
    days = SameHourHistory.of(history, np.array([90, 90], np.float32))
    assert days.began[0].nonzero()[0].tolist() == [0]
    # two days before, the hours began within a breach; what is not known began neither way
    assert days.quiet[0].tolist() == [True, False, *[True] * 18, *[False] * (DAYS - 20)]
    assert days.quiet[1].all()
    assert days.hours_since.tolist() == [(288 - 50) / 12, HISTORY_STEPS / 12]
    assert days.share_of_day.tolist() == [12 / 288, 0]


def test_it_learns_what_is_likely() -> None:
    """After three weeks it is sure of the daily breach, not of the occasional one, and excludes what never was."""
    panel = noons()
    until = START + 21 * 86_400
    model = learn(panel.between(START, until), until, Climatology({}), metrics=METRICS, base=base_breach_model())
    noon = START + 25 * 86_400 + 8 * 3600
    forecast = Climatology({}).forecast(panel, noon)
    monitored = [MonitoredThreshold(key, Severity.CRITICAL, 90.0, Direction.ABOVE, "generic") for key in panel.keys]
    daily, sometimes, never = (risk.probability or 0 for risk in model.risks(forecast, panel, monitored))
    assert daily > 0.8
    assert 0.1 < sometimes < 0.8
    assert never < 0.02
    figures = measure(model, panel, until, end=panel.end, forecaster=Climatology({}), metrics=METRICS)
    assert figures["incident_figures"]["load"]["severity"] == "critical"
    assert figures["breach_reliability"]["brier"] < 0.6 * figures["breach_reliability"]["brier_of_the_base_rate"]
    assert sum(each["windows"] for each in figures["breach_reliability"]["bins"]) > 100


@pytest.mark.parametrize("seed", range(3))
def test_nothing_after_the_origin_is_used(seed: int) -> None:
    """A future that is overwritten changes no risk, no threshold that is drawn, and nothing learned before it."""
    panel = noons(seed=seed)
    origin = START + 24 * 86_400 + 5 * 3600
    values = panel.values.copy()
    values[:, (origin - START) // 300 + 1 :] = np.random.default_rng(seed).uniform(0, 100)
    changed = replace(panel, values=values)
    monitored = configured(METRICS)(panel, origin, panel.keys)
    made = []
    for each in (panel, changed):
        model = learn(each, origin, Climatology({}), metrics=METRICS, base=base_breach_model())
        forecast = Climatology({}).forecast(each, origin)
        chosen = sampled(seed)(each, origin, each.keys)
        made.append((model, model.risks(forecast, each, monitored), chosen))
    assert made[0] == made[1]


def test_below_is_above_turned_over() -> None:
    """Where low is bad, the probability is that of the series turned over; the peak is its lowest."""
    panel = noons(servers=1)
    turned = replace(panel, values=100 - panel.values)
    origin = START + 25 * 86_400 + 8 * 3600
    model = base_breach_model()
    found = []
    for each, threshold, direction in ((panel, 90.0, Direction.ABOVE), (turned, 10.0, Direction.BELOW)):
        watch = MonitoredThreshold(each.keys[0], Severity.CRITICAL, threshold, direction, "generic")
        forecast = Climatology({}).forecast(each, origin)
        (risk,) = model.risks(forecast, each, [watch])
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
    """By the median where it crosses, else by the 90th percentile; without a recent sample nothing is claimed."""
    panel = noons(servers=1)
    origin = START + 25 * 86_400
    paths = np.full((1, 96, 7), 50, np.float32)
    paths[0, 30:, 5:] = 95
    watch = MonitoredThreshold(panel.keys[0], Severity.CRITICAL, 90.0, Direction.ABOVE, "generic")
    forecast = Forecast(origin=origin, keys=panel.keys, paths=paths, kinds=(ForecasterKind.MODEL,))
    (risk,) = base_breach_model().risks(forecast, panel, [watch])
    assert (risk.median_seconds, risk.early_seconds, risk.breach_seconds) == (None, 31 * 300, 31 * 300)
    silent = replace(panel, values=panel.values.copy())
    silent.values[:, (origin - START) // 300 - 5 :] = np.nan
    (unknown,) = base_breach_model().risks(forecast, silent, [watch])
    assert (unknown.probability, unknown.value, unknown.breached) == (None, None, False)


def test_a_model_survives_its_document() -> None:
    """What is written as JSON is read back; weights that do not fit together, or other features, are refused."""
    cut = DecisionThreshold(
        probability=0.7, precision=0.81, recall=0.3, reached=True, chosen_on="its own threshold", windows=40
    )
    model = replace(base_breach_model(), cuts={("load", Severity.CRITICAL): cut})
    document = json.loads(json.dumps(model.document()))
    assert BreachModel.from_document(document) == model
    assert model.cut("load", Severity.CRITICAL) == cut
    assert model.cut("load", Severity.WARNING) == model.general
    document["head"]["logistic"]["weights"].pop()
    with pytest.raises(ValueError, match="not of the features"):
        BreachModel.from_document(document)
    document["head"]["logistic"]["mean"].pop()
    document["head"]["logistic"]["deviation"].pop()
    with pytest.raises(ValueError, match="not of the features"):
        BreachModel.from_document(document)


def test_a_cut_is_the_lowest_that_reaches_the_target() -> None:
    """Of 100 windows the likelier half comes true four times in five: with an error to spare that keeps 0.7."""
    probability = np.linspace(0, 1, 100)
    happened = (np.arange(100) >= 50) & (np.arange(100) % 5 > 0)
    cut = choose_decision_threshold([("little", probability[:5], happened[:5]), ("plenty", probability, happened)], 0.7)
    assert cut.chosen_on == "plenty"
    assert cut.reached
    assert cut.probability == pytest.approx(0.5, abs=0.02)
    assert cut.precision == pytest.approx(0.8, abs=0.01)
    assert cut.recall == 1.0
    # 0.8 in 50 windows may be 0.74, and the 0.83 of the likeliest 24 may be less than 0.8 too
    higher = choose_decision_threshold([("plenty", probability, happened)], 0.8)
    assert (higher.reached, higher.windows, higher.precision) == (False, 24, pytest.approx(20 / 24))
    hard = choose_decision_threshold([("plenty", probability, happened)], 0.95)
    assert not hard.reached
    assert choose_decision_threshold([], 0.8).precision is None


def test_a_cut_that_keeps_no_precision_is_not_taken() -> None:
    """Where its own breaches come out of nothing, the cut is that of the next that reaches it, or the most precise."""
    random = np.random.default_rng(0)
    probability = np.linspace(0, 1, 200)
    at_random, rarely = random.random(200) < 0.2, random.random(200) < 0.1
    likelier = probability > 0.7
    own, rare, alike = (
        ("own", probability, at_random),
        ("rare", probability, rarely),
        ("alike", probability, likelier),
    )
    assert choose_decision_threshold([own, alike], 0.8).chosen_on == "alike"
    worst = choose_decision_threshold([rare, own], 0.8)
    assert not worst.reached
    assert worst.precision == max(choose_decision_threshold([each], 0.8).precision or 0 for each in (own, rare))


def test_sure_alerts_do_not_pay_for_unlikely_ones() -> None:
    """Beside many that are certain, some that are never right would keep the precision: they are left out."""
    probability = np.concatenate([np.full(800, 0.95), np.full(100, 0.6), np.full(190, 0.1)])
    happened = np.concatenate([np.full(800, True), np.arange(100) % 5 > 1, np.full(190, False)])
    cut = choose_decision_threshold([("mixed", probability, happened)], 0.75)
    assert (cut.probability, cut.windows) == (0.6, 900)
    assert cut.precision == pytest.approx(860 / 900)


def test_a_threshold_with_few_breaches_takes_the_cut_of_all_together() -> None:
    """What never breached has no cut of its own, but forecasts of it are as sure as those of the others."""
    panel = noons()
    idle = tuple(SeriesKey(key.server, "idle") for key in panel.keys)
    both = Panel((*panel.keys, *idle), START, np.concatenate([panel.values, 0 * panel.values + 5]))
    metrics = {**METRICS, "idle": Metric(name="idle", thresholds=Thresholds(critical=90))}
    model = learn(both, both.end, Climatology({}), metrics=metrics, base=base_breach_model())
    together = model.cut("idle", Severity.CRITICAL)
    assert together.chosen_on == "all thresholds together"
    assert together.reached
    assert model.cut("load", Severity.CRITICAL).chosen_on == "its own threshold"


def test_the_prior_holds_where_nothing_is_known() -> None:
    """Few windows leave the weights as they were; many make the probability that of what happened."""
    random = np.random.default_rng(0)
    features = random.normal(size=(4000, 2))
    happened = random.random(4000) < 1 / (1 + np.exp(-2 * features[:, 0]))
    start = unfitted(features, happened)
    few, many = start.fitted(features[:3], happened[:3]), start.fitted(features, happened)
    assert np.allclose(few.weights, start.weights, atol=0.1)
    assert many.weights[0] == pytest.approx(2, abs=0.25)
    chance = many.probability(features)
    assert abs(chance[chance > 0.7].mean() - happened[chance > 0.7].mean()) < 0.03


def test_rare_peaks_do_not_throw_the_weights_off() -> None:
    """Of a feature that is rarely large, whole steps of Newton's method from afar end at a weight of the wrong sign."""
    random = np.random.default_rng(0)
    peaks = random.exponential(size=(20_000, 1)) ** 3 + 0.3 * random.normal(size=(20_000, 1))
    standard = np.clip((peaks - peaks.mean()) / peaks.std(), -4, 4)[:, 0]
    happened = random.random(20_000) < 1 / (1 + np.exp(4 - 1.5 * standard))
    fitted = unfitted(peaks, happened).fitted(peaks, happened)
    assert fitted.weights == pytest.approx((1.5, -4), abs=0.2)


def test_a_steady_rise_without_precedent_is_likelier() -> None:
    """By the same paths, a server that fills steadily is likelier to breach than one that stands as high."""
    steps = HISTORY_STEPS
    random = np.random.default_rng(0)
    filling = np.full(steps, 40.0)
    filling[-144:] += np.linspace(0, 44, 144)
    status = np.full(steps, 40.0)
    status[-144:] = 84.0
    values = np.stack([filling, status]) + random.normal(0, 0.5, (2, steps))
    keys = (SeriesKey("a", "load"), SeriesKey("b", "load"))
    panel = Panel(keys, START, values.astype(np.float32))
    paths = np.broadcast_to(np.linspace(70, 89, 7, dtype=np.float32), (2, 96, 7))
    forecast = Forecast(origin=panel.end, keys=keys, paths=paths, kinds=(ForecasterKind.MODEL,) * 2)
    monitored = [MonitoredThreshold(key, Severity.CRITICAL, 90.0, Direction.ABOVE, "generic") for key in keys]
    rising, level = (risk.probability or 0 for risk in base_breach_model().risks(forecast, panel, monitored))
    assert rising > 2 * level


def test_examples_are_quiet_and_known() -> None:
    """No window is taken within 2 h of a breach, nor where little of what follows is known."""
    panel = noons(servers=1)
    origin = START + 25 * 86_400 + 14 * 3600
    choose = configured({"load": Metric(name="load", thresholds=Thresholds(critical=90))})
    near, later = origin + 3600, origin + 3 * 3600
    (found,) = examples(panel, [near, later], Climatology({}), [choose])
    assert found.origins.tolist() == [later]
    gap = replace(panel, values=panel.values.copy())
    gap.values[:, (later - START) // 300 + 20 :] = np.nan
    (none,) = examples(gap, [later], Climatology({}), [choose])
    assert len(none.onset) == 0


def test_a_step_past_the_threshold_hides_no_breach() -> None:
    """One step an hour ago is no breach, so the window counts; one at the origin may be the first of a breach."""
    panel = noons(servers=1)
    origin = START + 25 * 86_400 + 6 * 3600
    at = (origin - START) // 300
    choose = configured({"load": Metric(name="load", thresholds=Thresholds(critical=90))})
    for before, onsets in ((12, [72]), (0, [])):
        flickered = replace(panel, values=panel.values.copy())
        flickered.values[:, at - before] = 95
        (found,) = examples(flickered, [origin], Climatology({}), [choose])
        assert found.onset.tolist() == onsets
    # nor do steps in the hours after it
    flickered.values[:, at] = 40
    flickered.values[:, [at + 20, at + 60, at + 70]] = 95
    (found,) = examples(flickered, [origin], Climatology({}), [choose])
    assert found.onset.tolist() == [72]


def test_learning_origins_keep_to_the_span() -> None:
    """The first is a week in, or in the middle of less; all 8 h end by the time that is known."""
    panel = noons(days=20)
    origins = learning_origins(panel, panel.end - 86_400)
    assert origins[0] >= START + 7 * 86_400
    assert origins[-1] + 8 * 3600 <= panel.end - 86_400
    assert all(origin % 300 == 0 for origin in origins)
    short = noons(days=3)
    assert learning_origins(short, short.end)[0] < START + 2 * 86_400
    assert learning_origins(short, START) == []
