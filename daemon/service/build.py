"""The composition root: builds the service from its configuration.

``build_service`` builds the components, which live as long as the process, and the pipeline, which a reload replaces.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from daemon.alerting.alertmanager import AlertmanagerNotifier
from daemon.alerting.delivery import Delivery
from daemon.alerting.engine import Alerting
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
from daemon.config.sources import PrometheusConfig, PushConfig, ReplayConfig, SimulatorConfig, SourceConfig
from daemon.core.clock import AcceleratedClock, Clock, SystemClock, wall_time
from daemon.core.forecast import Forecaster
from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Panel, ProfileRules, parse_time
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.verification import Verification
from daemon.ingest.ingest import Ingest
from daemon.ingest.ports import Source, Store
from daemon.ingest.prometheus import PrometheusSource
from daemon.ingest.push import PushSource
from daemon.ingest.replay import ReplaySource, SimulatorSource
from daemon.ingest.window import RecentHistory
from daemon.models.registry import ModelRegistry
from daemon.models.retraining import NextTime, Retraining
from daemon.models.runs import TrainingJournal
from daemon.models.serving import ModelLoaders, ServingModel
from daemon.network.device import torch_memory
from daemon.pipeline.cycle import Cycle, Snapshot
from daemon.pipeline.triggers import Triggers
from daemon.service.lifecycle import Components, ConfigReload, ConfiguredPipeline, Service
from daemon.service.training_process import TrainingProcess
from daemon.simulation.scenario import Scenarios
from daemon.store.history import SqlStore
from daemon.system.logs import configure_logs
from daemon.system.scheduler import GridScheduler, next_times
from daemon.system.systemd import ServiceManager

_HISTORY_STEPS = 28 * STEPS_PER_DAY


def next_training(config: Config) -> NextTime | None:
    """Return when the next training is scheduled; None where none is.

    Raises:
        ConfigError: the schedule is no cron expression.
    """
    schedule = config.training.schedule
    return None if schedule is None else next_times(schedule, config.zone)


def build_service(config: Config, path: Path) -> Service:
    """Return the service of ``config``, with its address bound and its store open.

    Args:
        config: the configuration in ``path``.
        path: the file, which a reload reads again.

    Raises:
        ForewarnError: the store cannot be opened, the address cannot be bound, or a file cannot be read.
    """
    components = build_components(config, path)
    service = Service(components, build_pipeline(config, components))
    reload = ConfigReload(
        path,
        config,
        reconfigure=lambda changed: service.reconfigure(build_pipeline(changed, components)),
        started=components.service_manager.reloading,
        ended=service.reload_ended,
    )
    service.attach(
        server=build_server(config, components, service, reload),
        scheduler=GridScheduler(components.clock, config.schedule, service.tick),
        reload=reload,
    )
    return service


def build_components(config: Config, path: Path) -> Components:
    """Return the components that are built once and survive every reload."""
    store = SqlStore(config.store_url)
    clock = build_clock(config, store)
    snapshot_cache = SnapshotCache(clock, config.domain_metrics(), config.exposition)
    retraining = Retraining(
        TrainingProcess(path),
        TrainingJournal(config.data_dir / "training"),
        ModelRegistry(config.models_dir),
        config=config.training,
        next_time=next_training(config),
        now=clock.now,
    )
    telemetry = PrometheusTelemetry(clock, snapshot_cache.problems)
    telemetry.show_training(retraining.state)
    telemetry.show_gpus(torch_memory)
    return Components(
        store=store,
        clock=clock,
        telemetry=telemetry,
        snapshot_cache=snapshot_cache,
        window=RecentHistory(store, _HISTORY_STEPS),
        model=ServingModel(ModelRegistry(config.models_dir), model_loaders(config)),
        service_manager=ServiceManager(),
        retraining=retraining,
        scenarios=Scenarios(config.data_dir / "scenarios.json", clock.now),
    )


def build_pipeline(config: Config, components: Components) -> ConfiguredPipeline:
    """Return the pipeline of ``config`` on the components; the clients of sources and Alertmanagers are open.

    Raises:
        ForewarnError: a file that the configuration names cannot be read; no client stays open.
    """
    metrics, retention_seconds = config.domain_metrics(), config.store.retention_seconds
    next_time = next_training(config)
    with ExitStack() as clients:
        sources = [build_source(source, components.scenarios) for source in config.sources]
        notifiers = [AlertmanagerNotifier(each) for each in config.alerting.alertmanagers]
        opened: list[Source | Notifier] = [*sources, *notifiers]
        for client in opened:
            clients.callback(client.close)
        targets = [notifier.name for notifier in notifiers]
        progress = components.service_manager.progress
        ingest = Ingest(
            sources=sources,
            store=components.store,
            metrics=metrics,
            retention_seconds=retention_seconds,
            telemetry=components.telemetry,
            stopping=components.stopping.is_set,
            progress=progress,
        )
        repository = components.store.alert_repository()
        triggers = Triggers(config.training)

        def retrain(snapshot: Snapshot, panel: Panel) -> None:
            components.retraining.run(snapshot.at, triggers.check(snapshot, panel))

        cycle = Cycle(
            ingest=ingest,
            store=components.store,
            window=components.window,
            model=components.model,
            baseline=Climatology(metrics),
            verification=Verification(
                components.store.verification_repository(),
                SeasonalNaive(metrics),
                Climatology(metrics),
                config.verification,
            ),
            alerting=Alerting(repository, metrics, config.alerting, partial(wall_time, components.clock)),
            delivery=Delivery(
                repository=repository,
                notifiers=notifiers,
                config=config.alerting,
                clock=components.clock,
                telemetry=components.telemetry,
                wall_now=SystemClock().now,
            ),
            profiles=ProfileRules((rule.pattern, rule.profile) for rule in config.profiles),
            retention_seconds=retention_seconds,
            telemetry=components.telemetry,
            now=components.clock.now,
            publish=(components.snapshot_cache.publish, components.telemetry.publish),
            progress=progress,
            retrain=retrain,
        )

        def apply() -> None:
            components.snapshot_cache.configure(metrics, config.exposition)
            components.model.reload(model_loaders(config))
            components.retraining.reconfigure(config.training, next_time)
            components.scenarios.reconfigure(simulated_servers(sources))
            components.telemetry.configure([source.name for source in sources], targets)
            configure_logs(config.logging.level, config.logging.format)

        push = next((source for source in config.sources if isinstance(source, PushConfig)), None)
        endpoint = None
        if push is not None:
            endpoint = PushEndpoint(
                source=push, config=config, ingest=ingest, clock=components.clock, telemetry=components.telemetry
            )
        return ConfiguredPipeline(
            cycle=cycle,
            push=endpoint,
            schedule=config.schedule,
            apply=apply,
            close=clients.pop_all().close,
        )


def build_server(config: Config, components: Components, service: Service, reload: ConfigReload) -> HttpServer:
    """Return the HTTP server with every route, its address bound.

    Raises:
        AddressUnavailable: the address cannot be bound.
    """
    access = WebAccess(config.http.web_config_file)
    app = create_app(
        components.snapshot_cache,
        components.telemetry,
        lambda: service.push,
        reload=reload.run,
        authentication=Authentication(config.http.bearer_token_file, lambda: access.now().basic_auth_users),
        access=access,
        limits=ClientLimits(config.http.requests_per_minute, config.http.failed_logins_per_minute),
    )
    add_training(app, components.retraining)
    add_models(app, ModelRegistry(config.models_dir))
    add_claims(app, ModelRegistry(config.models_dir))
    add_scenarios(app, components.scenarios)
    return HttpServer(app, config.http, access.context)


def build_source(config: SourceConfig, scenarios: Scenarios) -> Source:
    """Return the adapter of one configured source.

    Raises:
        BadMetricsFile: the file of a replay cannot be read.
        ConfigError: a certificate file of a Prometheus cannot be used.
    """
    match config:
        case SimulatorConfig():
            return SimulatorSource(config, scenarios.known, scenarios.mark_delivered)
        case PrometheusConfig():
            return PrometheusSource(config)
        case ReplayConfig():
            return ReplaySource(config)
        case PushConfig():
            return PushSource(config)


def simulated_servers(sources: list[Source]) -> dict[str, str]:
    """Return the servers of all simulators, each with its profile."""
    fleets = [source.profiles for source in sources if isinstance(source, SimulatorSource)]
    return {server: profile for fleet in fleets for server, profile in fleet.items()}


def model_loaders(config: Config) -> ModelLoaders:
    """Return the functions that load models; torch is imported when the first one is called."""
    registry, target = ModelRegistry(config.models_dir), config.alerting.target_precision

    def load(model: str) -> Forecaster:
        from daemon.network.artifact import load_forecaster  # noqa: PLC0415 - imports torch

        return load_forecaster(registry.path(model), config.domain_metrics())

    def load_base() -> Forecaster:
        from daemon.network.artifact import base_forecaster  # noqa: PLC0415 - imports torch

        return base_forecaster(config.domain_metrics(), config.zone)

    return ModelLoaders(
        model=load,
        risk_model=lambda model: read_breach_model(registry.path(model), target),
        base=load_base,
        base_risk_model=partial(base_breach_model, target),
    )


def build_clock(config: Config, store: Store) -> Clock:
    """Return the wall clock, or the configured one, which continues after the newest time in the store."""
    start, speed = config.clock.start, config.clock.speed
    if start is None and speed == 1:
        return SystemClock()
    reached = [*store.watermarks().values(), *(store.span() or ())]
    first = SystemClock().now() if start is None else float(parse_time(start))
    return AcceleratedClock(max([first, *(time + STEP_SECONDS for time in reached)]), speed)
