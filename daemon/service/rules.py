"""What the configuration says, in the terms of the use cases."""

from daemon.config.schema import Config
from daemon.domain.retraining import Trigger
from daemon.pipeline.alerting import AlertRules
from daemon.pipeline.fleet_alerts import FleetRule
from daemon.pipeline.retraining import TrainingRules
from daemon.pipeline.triggers import TriggerRules
from daemon.pipeline.verification import VerificationRules
from daemon.schedule.cron import next_times


def training_rules(config: Config) -> TrainingRules:
    """Return what the configuration says of retraining.

    Raises:
        ConfigError: the schedule is no cron expression.
    """
    training = config.training
    return TrainingRules(
        training.level,
        training.seed,
        None if training.schedule is None else next_times(training.schedule, config.zone),
        training.max_runs_per_day,
        training.keep_models,
        training.trigger_pause_hours * 3600,
        training.threads,
        training.deadline_minutes * 60,
        training.memory_limit_mb,
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
        alerting.policy(),
        FleetRule(alerting.fleet_servers, alerting.fleet_share),
        alerting.keep_severity,
        alerting.ledger_days * 86_400,
        str(alerting.external_url or ""),
    )
