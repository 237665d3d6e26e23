"""The composition root: from a configuration to a service that can be started."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon.api.app import create_app
from daemon.api.authentication import Authentication
from daemon.api.board import Board
from daemon.api.claims_routes import add_claims
from daemon.api.client_limits import ClientLimits
from daemon.api.model_routes import add_models
from daemon.api.push import PushEndpoint
from daemon.api.scenario_routes import add_scenarios
from daemon.api.server import HttpServer
from daemon.api.telemetry import PrometheusTelemetry
from daemon.api.training_routes import add_training
from daemon.api.web_access import WebAccess
from daemon.config.schema import Config
from daemon.config.sources import PrometheusConfig, PushConfig, ReplayConfig, SimulatorConfig
from daemon.domain.clock import AcceleratedClock, SystemClock
from daemon.domain.grid import STEP_SECONDS, parse_time
from daemon.domain.ports import Clock, Forecaster, Notifier, Source, Store
from daemon.domain.series import Panel
from daemon.learning.breach.base import base_breach_model
from daemon.learning.calibration_file import read_breach_model
from daemon.learning.climatology import Climatology
from daemon.learning.gpu_memory import torch_memory
from daemon.learning.seasonal_naive import SeasonalNaive
from daemon.notify.alertmanager import AlertmanagerNotifier
from daemon.pipeline.alerting import Alerting
from daemon.pipeline.cycle import Cycle, Snapshot
from daemon.pipeline.delivery import Delivery
from daemon.pipeline.forecasting import Loaders, ServingModel
from daemon.pipeline.ingest import Ingest
from daemon.pipeline.profiles import ProfileRules
from daemon.pipeline.retraining import Retraining
from daemon.pipeline.triggers import Triggers
from daemon.pipeline.verification import Verification
from daemon.pipeline.window import RecentHistory
from daemon.registry.models import ModelRegistry
from daemon.registry.training_journal import TrainingJournal
from daemon.schedule.grid_scheduler import GridScheduler
from daemon.sdnotify.service_manager import ServiceManager
from daemon.service.lifecycle import Service, Stopping, Work
from daemon.service.logs import configure_logs
from daemon.service.reload import ConfigReload
from daemon.service.rules import alert_rules, training_rules, trigger_rules, verification_rules
from daemon.service.simulated import fleet_spec
from daemon.service.training_process import TrainingProcess
from daemon.simulation.fleet import Fleet
from daemon.simulation.scenarios import Scenarios
from daemon.sources.prometheus import PrometheusSource
from daemon.sources.push import PushSource
from daemon.sources.replay import ReplaySource
from daemon.sources.simulator import SimulatorSource
from daemon.store.sql_store import SqlStore

_HISTORY_STEPS = 28 * 288


@dataclass(frozen=True)
class Foundation:
    """What a service is built on once and keeps over reloads of its configuration."""

    store: SqlStore
    clock: Clock
    telemetry: PrometheusTelemetry
    board: Board
    window: RecentHistory
    model: ServingModel
    stopping: Stopping
    manager: ServiceManager
    retraining: Retraining
    scenarios: Scenarios


def build_service(config: Config, path: Path) -> Service:
    """Return the service that ``config`` describes, its address bound and its store open.

    Args:
        config: what was read from ``path``.
        path: read again at a reload.

    Raises:
        ForewarnError: the store cannot be opened, the address not bound, or a file not read.
    """
    foundation = _foundation(config, path)
    telemetry, board, manager = foundation.telemetry, foundation.board, foundation.manager
    service = Service(build_work(config, foundation), telemetry, board, foundation.stopping, manager)

    def follow(changed: Config) -> None:
        service.follow(build_work(changed, foundation))

    def reloaded(succeeded: bool) -> None:
        telemetry.reloaded(succeeded)
        manager.reloaded()

    reload = ConfigReload(path, config, follow, manager.reloading, reloaded)
    telemetry.show_training(foundation.retraining.state)
    telemetry.show_gpus(torch_memory)
    access = WebAccess(config.http.web_config_file)
    authentication = Authentication(config.http.bearer_token_file, lambda: access.now().basic_auth_users)
    limits = ClientLimits(config.http.requests_per_minute, config.http.failed_logins_per_minute)
    app = create_app(board, telemetry, lambda: service.push, reload.run, authentication, access, limits)
    add_training(app, foundation.retraining)
    add_models(app, ModelRegistry(config.models_dir))
    add_claims(app, ModelRegistry(config.models_dir))
    add_scenarios(app, foundation.scenarios)
    server = HttpServer(app, config.http.host, config.http.port, access.context)
    scheduler = GridScheduler(foundation.clock, config.schedule.delay_seconds, service.tick)
    service.runs(server, scheduler, foundation.store, reload, foundation.retraining)
    return service


def _foundation(config: Config, path: Path) -> Foundation:
    store = SqlStore(config.store_url)
    clock = build_clock(config, store)
    board = Board(clock, config.domain_metrics(), config.exposition.series_budget)
    return Foundation(
        store,
        clock,
        PrometheusTelemetry(clock, board.problems),
        board,
        RecentHistory(store, _HISTORY_STEPS),
        serving_model(config),
        Stopping(),
        ServiceManager(),
        Retraining(
            TrainingProcess(path),
            TrainingJournal(config.data_dir / "training"),
            ModelRegistry(config.models_dir),
            training_rules(config),
            clock.now,
        ),
        Scenarios(config.data_dir / "scenarios.json", clock.now),
    )


def build_work(config: Config, on: Foundation) -> Work:
    """Return what ``config`` makes of the foundation; the clients of sources and targets are open.

    Raises:
        ForewarnError: a file that the configuration names cannot be read; nothing stays open.
    """
    metrics, retention_seconds = config.domain_metrics(), config.store.retention_days * 86_400
    training = training_rules(config)
    with ExitStack() as clients:
        sources = [build_source(source, on.scenarios) for source in config.sources]
        notifiers = [AlertmanagerNotifier(each) for each in config.alerting.alertmanagers]
        opened: list[Source | Notifier] = [*sources, *notifiers]
        for client in opened:
            clients.callback(client.close)
        targets = [notifier.name for notifier in notifiers]
        progress = on.manager.progress
        ingest = Ingest(sources, on.store, metrics, retention_seconds, on.telemetry, on.stopping.requested, progress)
        book = on.store.alert_book()
        triggers = Triggers(trigger_rules(config))

        def retrain(snapshot: Snapshot, panel: Panel) -> None:
            on.retraining.run(snapshot.at, triggers.look(snapshot, panel))

        cycle = Cycle(
            ingest,
            on.store,
            on.window,
            on.model,
            Climatology(metrics),
            Verification(
                on.store.verification_book(), SeasonalNaive(metrics), Climatology(metrics), verification_rules(config)
            ),
            Alerting(book, metrics, alert_rules(config), targets, partial(_wall_time, on.clock)),
            Delivery(book, notifiers, config.alerting.queue_limit, on.clock, on.telemetry, SystemClock().now),
            ProfileRules((rule.pattern, rule.profile) for rule in config.profiles),
            retention_seconds,
            on.telemetry,
            on.clock.now,
            (on.board.publish, on.telemetry.publish),
            progress,
            retrain,
        )

        def adopt() -> None:
            on.board.configure(metrics, config.exposition.series_budget)
            on.model.reload(_loaders(config))
            on.retraining.follow(training)
            on.scenarios.follow(_simulated(sources))
            on.telemetry.configure([source.name for source in sources], targets)
            configure_logs(config.logging.level, config.logging.format)

        endpoint = _push_endpoint(config, ingest, on)
        return Work(cycle, endpoint, config.schedule.delay_seconds, adopt, clients.pop_all().close)


def _push_endpoint(config: Config, ingest: Ingest, on: Foundation) -> PushEndpoint | None:
    name = next((source.name for source in config.sources if isinstance(source, PushConfig)), None)
    if name is None:
        return None
    retention_seconds = config.store.retention_days * 86_400
    return PushEndpoint(
        name, ingest, config.domain_metrics(), retention_seconds, on.clock, on.telemetry, config.http.max_body_bytes
    )


def serving_model(config: Config) -> ServingModel:
    """Return the model of the configured registry; torch is imported when there is something to forecast with it."""
    return ServingModel(ModelRegistry(config.models_dir), _loaders(config))


def _loaders(config: Config) -> Loaders:
    registry = ModelRegistry(config.models_dir)
    return Loaders(
        partial(_load, registry, config),
        lambda model: read_breach_model(registry.path(model)),
        partial(_load_base, config),
        base_breach_model,
    )


def _wall_time(clock: Clock, at: int) -> float:
    """Return the wall clock's time, in epoch seconds, at the service's grid time ``at``."""
    return SystemClock().now() - (clock.now() - at) / clock.speed


def _load(registry: ModelRegistry, config: Config, model: str) -> Forecaster:
    from daemon.learning.artifact import load_forecaster  # noqa: PLC0415 - torch, only where it forecasts

    return load_forecaster(registry.path(model), config.domain_metrics())


def _load_base(config: Config) -> Forecaster:
    from daemon.learning.base import base_forecaster  # noqa: PLC0415 - likewise

    return base_forecaster(config.domain_metrics(), config.zone)


def build_source(
    config: SimulatorConfig | PrometheusConfig | ReplayConfig | PushConfig, scenarios: Scenarios
) -> Source:
    """Return the adapter of one configured source.

    Raises:
        BadMetricsFile: the file of a replay cannot be read.
    """
    match config:
        case SimulatorConfig():
            fleet = Fleet(fleet_spec(config), scenarios.known)
            return SimulatorSource(config.name, fleet, config.backfill_seconds, scenarios.told)
        case PrometheusConfig():
            return PrometheusSource(config)
        case ReplayConfig():
            return ReplaySource(config.name, config.path, config.backfill_seconds)
        case PushConfig():
            return PushSource(config.name)


def _simulated(sources: Sequence[Source]) -> dict[str, str]:
    """Return the simulated servers with their profiles."""
    fleets = [source.profiles for source in sources if isinstance(source, SimulatorSource)]
    return {server: profile for fleet in fleets for server, profile in fleet.items()}


def build_clock(config: Config, store: Store) -> Clock:
    """Return the wall clock, or the configured one; a restart of the latter goes on where the store ends."""
    start, speed = config.clock.start, config.clock.speed
    if start is None and speed == 1:
        return SystemClock()
    reached: Sequence[int] = [*store.watermarks().values(), *(store.span() or ())]
    begin = SystemClock().now() if start is None else float(parse_time(start))
    return AcceleratedClock(max([begin, *(time + STEP_SECONDS for time in reached)]), speed)
