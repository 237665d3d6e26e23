"""The schema of the configuration file: every key with its meaning, default and bounds.

``docs/configuration.md`` is rendered from the schema, and ``default.yaml`` shows every key; tests compare the three.
A key that is marked with ``RESTART`` cannot change at a reload.
"""

import re
from collections import Counter
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from daemon.config.alerting import AlertingConfig
from daemon.config.section import RESTART, Section
from daemon.config.sources import SourceConfig
from daemon.config.training import TrainingConfig, VerificationConfig
from daemon.core.metric import Direction, Metric, Thresholds


class ThresholdsConfig(Section):
    """The thresholds of a metric."""

    warning: float | None = Field(None, description="Value at which the metric is a warning.")
    critical: float | None = Field(None, description="Value at which the metric is critical.")

    def to_thresholds(self) -> Thresholds:
        """Return the thresholds as a record of ``core``."""
        return Thresholds(self.warning, self.critical)


class MetricConfig(ThresholdsConfig):
    """One metric, under its name."""

    display_name: str = Field(
        "", description="Name of the metric in sentences, as in `Memory used`; default is the metric's name."
    )
    unit: str = Field("", description="Unit, for people.")
    minimum: float | None = Field(None, description="Lowest value that is physically possible.")
    maximum: float | None = Field(None, description="Highest value that is physically possible.")
    direction: Direction = Field(Direction.ABOVE, description="The bad side of a threshold: `above` or `below`.")
    profiles: dict[str, ThresholdsConfig] = Field(
        default_factory=dict, description="Thresholds for servers of a profile, instead of these."
    )
    hint: str = Field(
        "",
        description="What to check when a breach of this metric is predicted, in a few words; part of the alert.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is not below maximum {self.maximum:g}")
        levels: list[ThresholdsConfig] = [self, *self.profiles.values()]
        for where in levels:
            if where.warning is None or where.critical is None or where.warning == where.critical:
                continue
            if (where.warning < where.critical) != (self.direction is Direction.ABOVE):
                raise ValueError(
                    f"with direction {self.direction}, a warning at {where.warning:g} would come after "
                    f"critical at {where.critical:g}; swap them"
                )
        return self

    def to_metric(self, name: str) -> Metric:
        """Return the metric ``name`` as a record of ``core``."""
        return Metric(
            name=name,
            display_name=self.display_name,
            unit=self.unit,
            minimum=self.minimum,
            maximum=self.maximum,
            direction=self.direction,
            thresholds=self.to_thresholds(),
            profile_thresholds={profile: thresholds.to_thresholds() for profile, thresholds in self.profiles.items()},
            hint=self.hint,
        )


class ProfileRule(Section):
    """A profile for the servers whose name matches, unless the source names one."""

    pattern: str = Field(
        description="Regular expression that is searched in the server's name; the first matching rule applies."
    )
    profile: str = Field(description="Profile of the servers that match.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class StoreConfig(Section):
    """Where the history is stored."""

    url: str | None = Field(
        None,
        description="SQLAlchemy URL (`sqlite:///…`, `postgresql+psycopg://…`); "
        "the default is SQLite in `forewarn.sqlite` under `data_dir`.",
        json_schema_extra=RESTART,
    )
    retention_days: int = Field(
        35, ge=8, le=400, description="Samples older than this are deleted; the forecaster uses the last 28 days."
    )

    @property
    def retention_seconds(self) -> int:
        """How long samples are kept."""
        return self.retention_days * 86_400


class ClockConfig(Section):
    """The clock of the service; for demos and replays only."""

    start: str | None = Field(
        None,
        description="Start time of the clock (ISO 8601, with time zone); the default is now. After a restart the clock "
        "continues after the newest sample in the store.",
    )
    speed: float = Field(1.0, gt=0, le=10_000, description="Seconds of this clock per second of the wall clock.")


class ScheduleConfig(Section):
    """When a tick runs."""

    delay_seconds: float = Field(
        15.0, ge=0, lt=300, description="Delay after each five-minute mark, until the sources have the newest samples."
    )


class ExpositionConfig(Section):
    """The content of /metrics."""

    series_budget: int = Field(
        100_000,
        ge=100,
        description="With more forecast series than this, /metrics has only the horizons 1h and 8h and the quantiles "
        "0.5 and 0.9.",
    )


class HttpConfig(Section):
    """The HTTP listener."""

    listen: str = Field(
        "127.0.0.1:9855", description="Address and port; for IPv6 as in `[::1]:9855`.", json_schema_extra=RESTART
    )
    max_body_bytes: int = Field(8_388_608, ge=1_024, description="Limit of the body of a push, in bytes.")
    bearer_token_file: Path | None = Field(
        None,
        description="File with the bearer token required for every request except /healthz and /readyz.",
        json_schema_extra=RESTART,
    )
    web_config_file: Path | None = Field(
        None,
        description="File with TLS, client certificates and users with hashed passwords, in the format of Prometheus' "
        "[web configuration](https://prometheus.io/docs/prometheus/latest/configuration/https/).",
        json_schema_extra=RESTART,
    )
    requests_per_minute: int = Field(
        3_000,
        ge=0,
        description="Requests per minute from one address; more, except for /healthz and /readyz, are answered with "
        "429. 0 is no limit.",
        json_schema_extra=RESTART,
    )
    failed_logins_per_minute: int = Field(
        20,
        ge=0,
        description="Wrong tokens or passwords per minute from one address; after that, its requests are answered "
        "with 429 for the rest of the minute. 0 is no limit.",
        json_schema_extra=RESTART,
    )
    allow_unauthenticated: bool = Field(
        False,
        description="Serve requests without authentication on an address that is not loopback.",
        json_schema_extra=RESTART,
    )

    @property
    def host(self) -> str:
        """The address part of ``listen``, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port part of ``listen``; 0 is any free port."""
        return int(self.listen.rpartition(":")[2])

    @field_validator("listen")
    @classmethod
    def _address_and_port(cls, value: str) -> str:
        host, separator, port = value.rpartition(":")
        if not separator or not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError("write it as address:port, for example 127.0.0.1:9855")
        return value

    @property
    def is_protected(self) -> bool:
        """Whether the listener is safe without the web configuration: loopback, a token, or explicitly open."""
        try:
            loopback = self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            loopback = False
        return bool(loopback or self.bearer_token_file or self.allow_unauthenticated)

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not (self.is_protected or self.web_config_file):
            raise ValueError(
                f"listen {self.listen} is not loopback: set bearer_token_file or web_config_file, or "
                "allow_unauthenticated: true if a proxy in front of it authenticates"
            )
        return self


class LoggingConfig(Section):
    """Log level and format."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="`json`, `console`, or `auto`: console on a terminal, otherwise JSON."
    )


class Config(Section):
    """The whole file."""

    timezone: str = Field(
        "UTC",
        description="IANA time zone of the daily and weekly rhythms of the servers; the store is always in UTC.",
    )
    data_dir: Path = Field(
        Path("data"),
        description="Directory of the store and the models; relative to the configuration file.",
        json_schema_extra=RESTART,
    )
    store: StoreConfig = Field(default_factory=StoreConfig, description="Where the history is stored.")
    sources: list[Annotated[SourceConfig, Field(discriminator="type")]] = Field(
        min_length=1, description="Where metrics come from; any number. A source that fails does not affect the others."
    )
    metrics: dict[str, MetricConfig] = Field(
        min_length=1,
        description="The monitored metrics, by name; a metric that is not listed is not ingested.",
    )
    profiles: list[ProfileRule] = Field(
        default_factory=list, description="Profiles by server name; `generic` where no rule matches."
    )
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig, description="When a tick runs.")
    clock: ClockConfig = Field(
        default_factory=ClockConfig,
        description="Clock of the service; for demos and replays only.",
        json_schema_extra=RESTART,
    )
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="How models are trained.")
    verification: VerificationConfig = Field(
        default_factory=VerificationConfig, description="How forecasts are compared with the values that followed."
    )
    alerting: AlertingConfig = Field(
        default_factory=AlertingConfig, description="When alerts fire and resolve, and where they are sent."
    )
    exposition: ExpositionConfig = Field(default_factory=ExpositionConfig, description="The content of /metrics.")
    http: HttpConfig = Field(default_factory=HttpConfig, description="The HTTP listener.")
    logging: LoggingConfig = Field(default_factory=LoggingConfig, description="Log level and format.")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("not an IANA time zone, such as Europe/Berlin or UTC")
        return value

    @field_validator("metrics")
    @classmethod
    def _metric_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_:.\-]*", name):
                raise ValueError(f"{name!r} is not a metric name: letters, digits and _ : . - only, a letter first")
        return value

    @model_validator(mode="after")
    def _distinct_sources(self) -> Self:
        twice = [name for name, count in Counter(source.name for source in self.sources).items() if count > 1]
        if twice:
            raise ValueError(f"sources: the name {twice[0]!r} is used twice; give each source its own")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The configured civil time zone."""
        return ZoneInfo(self.timezone)

    @property
    def store_url(self) -> str:
        """URL of the store, or its default under ``data_dir``."""
        return self.store.url or f"sqlite:///{self.data_dir / 'forewarn.sqlite'}"

    @property
    def models_dir(self) -> Path:
        """Directory of the model directories."""
        return self.data_dir / "models"

    def domain_metrics(self) -> Mapping[str, Metric]:
        """Return the configured metrics as records of ``core``, by name."""
        return {name: metric.to_metric(name) for name, metric in self.metrics.items()}
