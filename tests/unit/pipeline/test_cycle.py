"""One tick over fakes: forecasters, server states, pruning, demotion, and the order of the stages."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from daemon.alerting.delivery import Delivery
from daemon.alerting.engine import Alerting
from daemon.breach.definition import DecisionThreshold, MonitoredThreshold, Risk, RiskModel, Severity
from daemon.breach.model import base_breach_model
from daemon.config.alerting import AlertingConfig
from daemon.config.training import VerificationConfig
from daemon.core.errors import BadModel
from daemon.core.forecast import Forecast, Forecaster, ForecasterKind
from daemon.core.metric import Metric, Thresholds
from daemon.core.series import STEP_SECONDS, Panel, ProfileRules
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.verification import Verification
from daemon.ingest.ingest import Ingest
from daemon.ingest.window import RecentHistory
from daemon.models.registry import ModelRegistry
from daemon.models.serving import ModelLoaders, ServingModel
from daemon.pipeline.cycle import Cycle, Snapshot
from tests.fakes.alert_repository import FakeAlertRepository
from tests.fakes.notifier import FakeNotifier
from tests.fakes.source import FakeClock, FakeSource, FakeTelemetry
from tests.fakes.store import FakeStore
from tests.fakes.verification_repository import FakeVerificationRepository
from tests.panels import daily_panel

DAY = 86_400
PANEL = daily_panel(3, 9, missing=0)
AT = PANEL.start + 8 * DAY
RULES = VerificationConfig(window_hours=168, judged_hours=12)


class CpuModel:
    """Forecasts only the metric cpu, as a constant."""

    def __init__(self, name: str) -> None:
        self._name = name

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        keys = tuple(key for key in panel.keys if key.metric == "cpu")
        paths = np.full((len(keys), 96, 7), 42, dtype=np.float32)
        return Forecast(
            origin=origin, keys=keys, paths=paths, kinds=(ForecasterKind.MODEL,) * len(keys), model=self._name
        )


class ByBase:
    """Forecasts what has a day of history, as the base network does."""

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        old = np.flatnonzero(np.isfinite(panel.values[:, :-287]).any(axis=1))
        keys = tuple(panel.keys[row] for row in old)
        paths = np.full((len(keys), 96, 7), 41, dtype=np.float32)
        return Forecast(origin=origin, keys=keys, paths=paths, kinds=(ForecasterKind.BASE,) * len(keys))


class Certain:
    """Predicts a breach of every threshold."""

    def risks(self, forecast: Forecast, panel: Panel, monitored: Sequence[MonitoredThreshold]) -> tuple[Risk, ...]:
        return tuple(Risk(monitored=each, probability=0.9, breached=False) for each in monitored)

    def decision_threshold(self, metric: str, severity: Severity) -> DecisionThreshold:
        return DecisionThreshold(
            probability=0.5, precision=0.8, recall=0.5, reached=True, chosen_on="its own threshold", windows=30
        )


class Rig:
    """A cycle over a fake source and store, with a real registry."""

    def __init__(
        self, folder: Path, load: Callable[[str], Forecaster], panel: Panel = PANEL, risks: RiskModel | None = None
    ) -> None:
        metrics = {"cpu": Metric(name="cpu", thresholds=Thresholds(critical=1e6))}
        config = AlertingConfig.model_validate({"alertmanagers": [{"name": "am", "url": "http://am"}]})
        self.notifier = FakeNotifier()
        self.sent_at_publish: list[int] = []
        self.registry = ModelRegistry(folder)
        self.telemetry, self.store, self.published = FakeTelemetry(), FakeStore(), []
        self.repository = FakeAlertRepository()
        self.source = FakeSource("s", panel, backfill_seconds=8 * DAY)
        self.loaders = ModelLoaders(load, lambda _: base_breach_model(), ByBase, lambda: risks or base_breach_model())
        self.serving = ServingModel(self.registry, self.loaders)
        self.cycle = Cycle(
            ingest=Ingest(
                sources=[self.source],
                store=self.store,
                metrics=("cpu", "mem"),
                retention_seconds=20 * DAY,
                telemetry=self.telemetry,
            ),
            store=self.store,
            window=RecentHistory(self.store, 28 * 288),
            model=self.serving,
            baseline=Climatology({}),
            verification=Verification(FakeVerificationRepository(), SeasonalNaive({}), Climatology({}), RULES),
            alerting=Alerting(self.repository, metrics, config, float),
            delivery=Delivery(
                repository=self.repository,
                notifiers=[self.notifier],
                config=config,
                clock=FakeClock(AT),
                telemetry=self.telemetry,
                wall_now=lambda: AT,
            ),
            profiles=ProfileRules([("02$", "web_api")]),
            retention_seconds=20 * DAY,
            telemetry=self.telemetry,
            now=FakeClock(AT + 20).now,
            publish=(self.publish,),
        )

    def publish(self, snapshot: Snapshot) -> None:
        self.published.append(snapshot)
        self.sent_at_publish.append(len(self.notifier.accepted))

    def model(self) -> str:
        with self.registry.new() as (name, _):
            pass
        self.registry.promote(name, "by a test")
        return name


def cpu_model(name: str) -> Forecaster:
    return CpuModel(name)


def sources_of(snapshot: Snapshot) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for key, source in zip(snapshot.forecast.keys, snapshot.forecast.kinds, strict=True):
        found.setdefault(key.metric, set()).add(source.value)
    return found


def test_the_base_network_serves_before_a_model_exists(tmp_path: Path) -> None:
    """Without a model, the base network forecasts every series with a day of history, and the rows name it."""
    rig = Rig(tmp_path, cpu_model)
    snapshot = rig.cycle.run(AT)
    assert sources_of(snapshot) == {"cpu": {"base"}, "mem": {"base"}}
    assert snapshot.model == ""
    assert rig.published == [snapshot]
    assert snapshot.forecast.origin == AT


def test_the_baseline_serves_what_is_younger_than_a_day(tmp_path: Path) -> None:
    """On the first day of a fleet only the climatology forecasts it, and the base network is not loaded."""
    rig = Rig(tmp_path, cpu_model, PANEL.between(AT - 200 * 300, AT))
    assert sources_of(rig.cycle.run(AT)) == {"cpu": {"baseline"}, "mem": {"baseline"}}


def test_a_new_model_serves_from_the_next_tick(tmp_path: Path) -> None:
    """The baseline forecasts what the model cannot, and each row has its forecaster."""
    rig = Rig(tmp_path, cpu_model)
    rig.cycle.run(AT)
    name = rig.model()
    snapshot = rig.cycle.run(AT + 300)
    assert sources_of(snapshot) == {"cpu": {"model"}, "mem": {"baseline"}}
    assert snapshot.model == name
    assert len(snapshot.forecast.keys) == len(PANEL.keys)


def test_a_model_that_cannot_be_loaded_is_visible_and_the_last_good_one_stays(tmp_path: Path) -> None:
    """A broken model does not stop the service, and its error is visible."""
    broken: set[str] = set()

    def load(name: str) -> Forecaster:
        if name in broken:
            raise BadModel(f"{name}: damaged")
        return CpuModel(name)

    rig = Rig(tmp_path, load)
    good = rig.model()
    assert rig.cycle.run(AT).model == good
    with rig.registry.new() as (bad, _):
        broken.add(bad)
    rig.registry.promote(bad, "by a test")
    snapshot = rig.cycle.run(AT + 300)
    assert snapshot.model == good
    assert "damaged" in snapshot.model_error
    assert sources_of(snapshot)["cpu"] == {"model"}


def test_servers_have_a_profile_and_a_state(tmp_path: Path) -> None:
    """Profiles come from the source, else from the rules, else generic; states from the history."""
    panel = Panel(PANEL.keys, PANEL.start, PANEL.values.copy(), {"server-00": "database"})
    column = 8 * 288
    panel.values[2:4, column - 10 :] = np.nan  # server-01 has been silent for 50 minutes
    panel.values[4:6, : column - 50] = np.nan  # server-02 is four hours old
    servers = Rig(tmp_path, cpu_model, panel).cycle.run(AT).servers
    assert [(server.name, server.profile, server.state) for server in servers] == [
        ("server-00", "database", "known"),
        ("server-01", "generic", "stale"),
        ("server-02", "web_api", "cold"),
    ]
    assert servers[1].newest == AT - 11 * 300


def test_a_server_without_data_for_a_day_is_forgotten(tmp_path: Path) -> None:
    """Nothing is exported for it."""
    panel = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    panel.values[0:2, 7 * 288 :] = np.nan
    snapshot = Rig(tmp_path, cpu_model, panel).cycle.run(AT)
    assert {server.name for server in snapshot.servers} == {"server-01", "server-02"}


def test_an_alert_is_sent_before_the_snapshot_is_published(tmp_path: Path) -> None:
    """It fires at the second tick, and its target has it when that tick is published."""
    rig = Rig(tmp_path, cpu_model, risks=Certain())
    rig.cycle.run(AT)
    snapshot = rig.cycle.run(AT + STEP_SECONDS)
    (batch,) = rig.notifier.accepted
    assert {each.labels["server"] for each in batch} == {"server-00", "server-01", "server-02"}
    assert rig.sent_at_publish == [0, 1]
    assert snapshot.alerting.firing == 3


def test_old_samples_are_pruned(tmp_path: Path) -> None:
    """The store stays bounded by the retention."""
    rig = Rig(tmp_path, cpu_model)
    rig.cycle.run(AT)
    rig.cycle.run(AT + 19 * DAY)
    span = rig.store.span()
    assert span is not None
    assert span[0] == AT - DAY


def test_a_reload_reads_the_model_again_and_keeps_the_last_good_one(tmp_path: Path) -> None:
    """A changed configuration reaches the model; if the model cannot be read, the loaded one serves."""
    read: list[str] = []

    def load(name: str) -> Forecaster:
        read.append(name)
        if len(read) == 2:
            raise BadModel(f"{name}: damaged")
        return CpuModel(name)

    rig = Rig(tmp_path, load)
    name = rig.model()
    rig.cycle.run(AT)
    rig.serving.reload(rig.loaders)
    snapshot = rig.cycle.run(AT + STEP_SECONDS)
    assert (snapshot.model, snapshot.model_error) == (name, f"{name}: damaged")
    rig.cycle.run(AT + 2 * STEP_SECONDS)
    assert read == [name] * 2
    rig.serving.reload(rig.loaders)
    assert rig.cycle.run(AT + 3 * STEP_SECONDS).model_error == ""
    assert read == [name] * 3


def test_the_baseline_serves_where_the_model_was_worse_until_another_one_is_promoted(tmp_path: Path) -> None:
    """A model that is worse for half a day is demoted, visibly, also across a restart, and only once."""
    rig = Rig(tmp_path, cpu_model, daily_panel(3, 11, missing=0))
    name = rig.model()
    served = [rig.cycle.run(AT + hour * 3600) for hour in range(24)]
    first = next(hour for hour, snapshot in enumerate(served) if snapshot.demotion is not None)
    # nine origins of the last twelve hours, the newest of them nine hours ago
    assert first == 18
    assert sources_of(served[first - 1]) == {"cpu": {"model"}, "mem": {"baseline"}}
    assert sources_of(served[first]) == {"cpu": {"baseline"}, "mem": {"baseline"}}
    demotion = served[first].demotion
    assert demotion is not None
    assert "of the climatology's" in demotion.why
    assert served[-1].model == name
    assert [line.withdrawn for line in rig.registry.promotions()] == [False, True]
    again = ServingModel(rig.registry, rig.loaders)
    assert again.refresh(PANEL) is None
    other = rig.model()
    snapshot = rig.cycle.run(AT + 24 * 3600)
    assert (snapshot.demotion, snapshot.model) == (None, other)
    assert sources_of(snapshot)["cpu"] == {"model"}
