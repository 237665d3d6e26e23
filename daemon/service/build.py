"""The composition root: from a configuration to a service that can be started."""

from collections.abc import Sequence
from functools import partial

from daemon.api.app import create_app
from daemon.api.board import Board
from daemon.api.push import PushEndpoint
from daemon.api.server import HttpServer
from daemon.api.telemetry import PrometheusTelemetry
from daemon.config.schema import Config
from daemon.config.sources import PrometheusConfig, PushConfig, ReplayConfig, SimulatorConfig
from daemon.domain.clock import AcceleratedClock, SystemClock
from daemon.domain.grid import STEP_SECONDS, parse_time
from daemon.domain.ports import Clock, Forecaster, Source, Store
from daemon.learning.breach.base import base_breach_model
from daemon.learning.calibration_file import read_breach_model
from daemon.learning.climatology import Climatology
from daemon.notify.alertmanager import AlertmanagerNotifier
from daemon.pipeline.alerting import Alerting, AlertRules
from daemon.pipeline.cycle import Cycle
from daemon.pipeline.delivery import Delivery
from daemon.pipeline.fleet_alerts import FleetRule
from daemon.pipeline.forecasting import Loaders, ServingModel
from daemon.pipeline.ingest import Ingest
from daemon.pipeline.profiles import ProfileRules
from daemon.pipeline.window import RecentHistory
from daemon.registry.models import ModelRegistry
from daemon.schedule.grid_scheduler import GridScheduler
from daemon.service.lifecycle import Service, Stopping
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec
from daemon.sources.prometheus import PrometheusSource
from daemon.sources.push import PushSource
from daemon.sources.replay import ReplaySource
from daemon.sources.simulator import SimulatorSource
from daemon.store.sql_store import SqlStore

_HISTORY_STEPS = 28 * 288


def build_service(config: Config) -> Service:
    """Return the service that ``config`` describes, its address bound and its store open.

    Raises:
        ForewarnError: the store cannot be opened, the address not bound, or a file not read.
    """
    metrics = config.domain_metrics()
    retention_seconds = config.store.retention_days * 86_400
    store = SqlStore(config.store_url)
    clock = build_clock(config, store)
    telemetry = PrometheusTelemetry(clock)
    sources = [build_source(source) for source in config.sources]
    stopping = Stopping()
    ingest = Ingest(sources, store, metrics, retention_seconds, telemetry, stopping.requested)
    board = Board(clock, metrics, config.exposition.series_budget)
    book = store.alert_book()
    notifiers = [AlertmanagerNotifier(each) for each in config.alerting.alertmanagers]
    targets = [notifier.name for notifier in notifiers]
    cycle = Cycle(
        ingest,
        store,
        RecentHistory(store, _HISTORY_STEPS),
        serving_model(config),
        Climatology(metrics),
        Alerting(book, metrics, alert_rules(config), targets, partial(_wall_time, clock)),
        Delivery(book, notifiers, config.alerting.queue_limit, clock, telemetry, SystemClock().now),
        ProfileRules((rule.pattern, rule.profile) for rule in config.profiles),
        retention_seconds,
        telemetry,
        clock.now,
        (board.publish, telemetry.publish),
    )
    push = next((source.name for source in config.sources if isinstance(source, PushConfig)), None)
    endpoint = push and PushEndpoint(
        push, ingest, metrics, retention_seconds, clock, telemetry, config.http.max_body_bytes
    )
    app = create_app(board, telemetry, endpoint or None, config.http.bearer_token_file)
    server = HttpServer(app, config.http.host, config.http.port)
    service = Service(cycle, telemetry, board, stopping)
    scheduler = GridScheduler(clock, config.schedule.delay_seconds, service.tick)
    service.runs(server, scheduler, [*sources, *notifiers], store)
    return service


def serving_model(config: Config) -> ServingModel:
    """Return the model of the configured registry; torch is imported when there is something to forecast with it."""
    registry = ModelRegistry(config.models_dir)
    loaders = Loaders(
        partial(_load, registry, config),
        lambda model: read_breach_model(registry.path(model)),
        partial(_load_base, config),
        base_breach_model,
    )
    return ServingModel(registry, loaders)


def alert_rules(config: Config) -> AlertRules:
    """Return what the configuration says of alerts."""
    alerting = config.alerting
    return AlertRules(
        alerting.policy(),
        FleetRule(alerting.fleet_servers, alerting.fleet_share),
        alerting.keep_severity,
        alerting.ledger_days * 86_400,
        str(alerting.external_url or ""),
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


def build_source(config: SimulatorConfig | PrometheusConfig | ReplayConfig | PushConfig) -> Source:
    """Return the adapter of one configured source.

    Raises:
        BadMetricsFile: the file of a replay cannot be read.
    """
    match config:
        case SimulatorConfig():
            fleet = Fleet(FleetSpec(counts=config.servers.model_dump(), seed=config.seed))
            return SimulatorSource(config.name, fleet, config.backfill_seconds)
        case PrometheusConfig():
            return PrometheusSource(config)
        case ReplayConfig():
            return ReplaySource(config.name, config.path, config.backfill_seconds)
        case PushConfig():
            return PushSource(config.name)


def build_clock(config: Config, store: Store) -> Clock:
    """Return the wall clock, or the configured one; a restart of the latter goes on where the store ends."""
    start, speed = config.clock.start, config.clock.speed
    if start is None and speed == 1:
        return SystemClock()
    reached: Sequence[int] = [*store.watermarks().values(), *(store.span() or ())]
    begin = SystemClock().now() if start is None else float(parse_time(start))
    return AcceleratedClock(max([begin, *(time + STEP_SECONDS for time in reached)]), speed)
