"""The composition root: from a configuration to a service that can be started."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon.alerting.alertmanager import AlertmanagerNotifier
from daemon.alerting.delivery import Delivery
from daemon.alerting.engine import Alerting, AlertRules, GroupRule
from daemon.alerting.state import Notifier
from daemon.api.app import create_app
from daemon.api.models import add_claims, add_models, add_training
from daemon.api.push import PushEndpoint
from daemon.api.scenarios import add_scenarios
from daemon.api.security import Authentication, ClientLimits, WebAccess
from daemon.api.server import HttpServer
from daemon.api.snapshot_cache import SnapshotCache
from daemon.api.telemetry import PrometheusTelemetry
from daemon.breach.model import base_breach_model, read_breach_model
from daemon.config.schema import Config
from daemon.config.sources import PrometheusConfig, PushConfig, ReplayConfig, SimulatorConfig
from daemon.core.clock import AcceleratedClock, Clock, SystemClock
from daemon.core.forecast import Forecaster
from daemon.core.series import STEP_SECONDS, Panel, parse_time
from daemon.core.server import ProfileRules
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.verification import Verification, VerificationRules
from daemon.ingest.ingest import Ingest
from daemon.ingest.ports import Source, Store
from daemon.ingest.prometheus import PrometheusSource
from daemon.ingest.push import PushSource
from daemon.ingest.replay import ReplaySource, SimulatorSource
from daemon.ingest.window import RecentHistory
from daemon.models.registry import ModelRegistry
from daemon.models.runs import Retraining, TrainingJournal, TrainingRules, Trigger
from daemon.models.serving import ModelLoaders, ServingModel
from daemon.pipeline.cycle import Cycle, Snapshot
from daemon.pipeline.triggers import TriggerRules, Triggers
from daemon.service.lifecycle import ConfigReload, ConfiguredPipeline, Service, Stopping
from daemon.service.training_process import TrainingProcess
from daemon.simulation.fleet import Fleet
from daemon.simulation.incident import IncidentTuning
from daemon.simulation.scenario import Scenarios
from daemon.simulation.spec import FleetSpec
from daemon.store.history import SqlStore
from daemon.system.logs import configure_logs
from daemon.system.process import torch_memory
from daemon.system.scheduler import GridScheduler, next_times
from daemon.system.systemd import ServiceManager


def training_rules(config: Config) -> TrainingRules:
    """Return what the configuration says of retraining.

    Raises:
        ConfigError: the schedule is no cron expression.
    """
    training = config.training
    return TrainingRules(
        level=training.level,
        seed=training.seed,
        next_time=None if training.schedule is None else next_times(training.schedule, config.zone),
        max_runs_per_day=training.max_runs_per_day,
        keep_models=training.keep_models,
        pause_seconds=training.trigger_pause_hours * 3600,
        threads=training.threads,
        deadline_seconds=training.deadline_minutes * 60,
        memory_mb=training.memory_limit_mb,
    )


def trigger_rules(config: Config) -> TriggerRules:
    """Return what the configuration says of triggers."""
    training = config.training
    wanted = frozenset(Trigger(name) for name in training.triggers)
    return TriggerRules(wanted, training.new_servers_share, training.drift_share)


def verification_rules(config: Config) -> VerificationRules:
    """Return what the configuration says of verification."""
    rules = config.verification
    return VerificationRules(rules.window_hours * 3600, rules.judged_hours * 3600, rules.fallback)


def alert_rules(config: Config) -> AlertRules:
    """Return what the configuration says of alerts."""
    alerting = config.alerting
    return AlertRules(
        policy=alerting.policy(),
        fleet=GroupRule(alerting.fleet_servers, alerting.fleet_share),
        keep_severity=alerting.keep_severity,
        prediction_log_seconds=alerting.ledger_days * 86_400,
        external_url=str(alerting.external_url or ""),
    )


def fleet_spec(config: SimulatorConfig) -> FleetSpec:
    """Return what the configuration says of a simulated fleet."""
    return FleetSpec(
        counts=config.servers.model_dump(),
        seed=config.seed,
        incidents_per_server_week=config.incidents_per_server_week,
        month_turn_ratio=config.month_turn_ratio,
        holidays=tuple(config.holidays),
        growth_pct_month=config.growth_pct_month,
        reboots_per_server_week=config.reboots_per_server_week,
        missing_rate=config.missing_rate,
        outages_per_server_week=config.outages_per_server_week,
        incidents={name: IncidentTuning(**one.model_dump()) for name, one in config.incidents.items()},
    )


_HISTORY_STEPS = 28 * 288


@dataclass(frozen=True, kw_only=True)
class Components:
    """What a service is built on once and keeps over reloads of its configuration."""

    store: SqlStore
    clock: Clock
    telemetry: PrometheusTelemetry
    snapshots: SnapshotCache
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
    components = _components(config, path)
    telemetry, snapshots, manager = components.telemetry, components.snapshots, components.manager
    service = Service(build_pipeline(config, components), telemetry, snapshots, components.stopping, manager)

    def reconfigure(changed: Config) -> None:
        service.reconfigure(build_pipeline(changed, components))

    def reloaded(succeeded: bool) -> None:
        telemetry.reloaded(succeeded)
        manager.reloaded()

    reload = ConfigReload(path, config, reconfigure, manager.reloading, reloaded)
    telemetry.show_training(components.retraining.state)
    telemetry.show_gpus(torch_memory)
    access = WebAccess(config.http.web_config_file)
    authentication = Authentication(config.http.bearer_token_file, lambda: access.now().basic_auth_users)
    limits = ClientLimits(config.http.requests_per_minute, config.http.failed_logins_per_minute)
    app = create_app(
        snapshots,
        telemetry,
        lambda: service.push,
        reload=reload.run,
        authentication=authentication,
        access=access,
        limits=limits,
    )
    add_training(app, components.retraining)
    add_models(app, ModelRegistry(config.models_dir))
    add_claims(app, ModelRegistry(config.models_dir))
    add_scenarios(app, components.scenarios)
    server = HttpServer(app, config.http.host, config.http.port, access.context)
    scheduler = GridScheduler(components.clock, config.schedule.delay_seconds, service.tick)
    service.runs(server, scheduler, components.store, reload, components.retraining)
    return service


def _components(config: Config, path: Path) -> Components:
    store = SqlStore(config.store_url)
    clock = build_clock(config, store)
    snapshots = SnapshotCache(clock, config.domain_metrics(), config.exposition.series_budget)
    return Components(
        store=store,
        clock=clock,
        telemetry=PrometheusTelemetry(clock, snapshots.problems),
        snapshots=snapshots,
        window=RecentHistory(store, _HISTORY_STEPS),
        model=serving_model(config),
        stopping=Stopping(),
        manager=ServiceManager(),
        retraining=Retraining(
            TrainingProcess(path),
            TrainingJournal(config.data_dir / "training"),
            ModelRegistry(config.models_dir),
            training_rules(config),
            clock.now,
        ),
        scenarios=Scenarios(config.data_dir / "scenarios.json", clock.now),
    )


def build_pipeline(config: Config, on: Components) -> ConfiguredPipeline:
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
        ingest = Ingest(
            sources=sources,
            store=on.store,
            metrics=metrics,
            retention_seconds=retention_seconds,
            telemetry=on.telemetry,
            stopping=on.stopping.requested,
            progress=progress,
        )
        repository = on.store.alert_repository()
        triggers = Triggers(trigger_rules(config))

        def retrain(snapshot: Snapshot, panel: Panel) -> None:
            on.retraining.run(snapshot.at, triggers.look(snapshot, panel))

        cycle = Cycle(
            ingest=ingest,
            store=on.store,
            window=on.window,
            model=on.model,
            baseline=Climatology(metrics),
            verification=Verification(
                on.store.verification_repository(),
                SeasonalNaive(metrics),
                Climatology(metrics),
                verification_rules(config),
            ),
            alerting=Alerting(repository, metrics, alert_rules(config), targets, partial(_wall_time, on.clock)),
            delivery=Delivery(
                repository=repository,
                notifiers=notifiers,
                queue_limit=config.alerting.queue_limit,
                clock=on.clock,
                telemetry=on.telemetry,
                wall_now=SystemClock().now,
            ),
            profiles=ProfileRules((rule.pattern, rule.profile) for rule in config.profiles),
            retention_seconds=retention_seconds,
            telemetry=on.telemetry,
            now=on.clock.now,
            publish=(on.snapshots.publish, on.telemetry.publish),
            progress=progress,
            retrain=retrain,
        )

        def apply() -> None:
            on.snapshots.configure(metrics, config.exposition.series_budget)
            on.model.reload(model_loaders(config))
            on.retraining.reconfigure(training)
            on.scenarios.reconfigure(_simulated(sources))
            on.telemetry.configure([source.name for source in sources], targets)
            configure_logs(config.logging.level, config.logging.format)

        endpoint = _push_endpoint(config, ingest, on)
        return ConfiguredPipeline(
            cycle=cycle,
            push=endpoint,
            delay_seconds=config.schedule.delay_seconds,
            apply=apply,
            close=clients.pop_all().close,
        )


def _push_endpoint(config: Config, ingest: Ingest, on: Components) -> PushEndpoint | None:
    name = next((source.name for source in config.sources if isinstance(source, PushConfig)), None)
    if name is None:
        return None
    retention_seconds = config.store.retention_days * 86_400
    return PushEndpoint(
        source=name,
        ingest=ingest,
        metrics=config.domain_metrics(),
        retention_seconds=retention_seconds,
        clock=on.clock,
        telemetry=on.telemetry,
        max_body_bytes=config.http.max_body_bytes,
    )


def serving_model(config: Config) -> ServingModel:
    """Return the model of the configured registry; torch is imported when there is something to forecast with it."""
    return ServingModel(ModelRegistry(config.models_dir), model_loaders(config))


def model_loaders(config: Config) -> ModelLoaders:
    """Return how models are read: decision thresholds are chosen for the configured target precision."""
    registry, target = ModelRegistry(config.models_dir), config.alerting.target_precision
    return ModelLoaders(
        partial(_load, registry, config),
        lambda model: read_breach_model(registry.path(model), target),
        partial(_load_base, config),
        partial(base_breach_model, target),
    )


def _wall_time(clock: Clock, at: int) -> float:
    """Return the wall clock's time, in epoch seconds, at the service's grid time ``at``."""
    return SystemClock().now() - (clock.now() - at) / clock.speed


def _load(registry: ModelRegistry, config: Config, model: str) -> Forecaster:
    from daemon.network.artifact import load_forecaster  # noqa: PLC0415 - torch, only where it forecasts

    return load_forecaster(registry.path(model), config.domain_metrics())


def _load_base(config: Config) -> Forecaster:
    from daemon.network.artifact import base_forecaster  # noqa: PLC0415 - likewise

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
