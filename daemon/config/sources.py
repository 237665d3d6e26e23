"""The part of the schema that says where metrics come from."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, HttpUrl, field_validator, model_validator

from daemon.config.section import HttpClientConfig, Section
from daemon.core.metric import is_calendar_day


class _Named(Section):
    name: str = Field(
        pattern=r"^[A-Za-z0-9_\-]+$",
        description="Name in logs and metrics; unique, letters, digits, _ and -.",
    )


class _Fetched(_Named):
    backfill_hours: float = Field(
        720, gt=0, le=9_600, description="How far back a gap, or the time before the first start, is fetched."
    )

    @property
    def backfill_seconds(self) -> int:
        """How far back a gap is fetched."""
        return int(self.backfill_hours * 3600)


class FleetConfig(Section):
    """Number of simulated servers of each profile."""

    ml_compute: int = Field(4, ge=0, description="GPU servers that train and infer.")
    database: int = Field(3, ge=0, description="Database servers.")
    web_api: int = Field(4, ge=0, description="Web and API servers.")
    conductor_mgmt: int = Field(1, ge=0, description="Orchestration servers.")
    data_ingest: int = Field(3, ge=0, description="Stream and batch ingestion servers.")
    risk_analytics: int = Field(3, ge=0, description="Analytics servers.")
    generic: int = Field(2, ge=0, description="Everything else.")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not sum(self.model_dump().values()):
            raise ValueError("the fleet has no server; give at least one profile a count above 0")
        return self


IncidentName = Literal[
    "memory_leak",
    "disk_fill",
    "log_storm",
    "traffic_surge",
    "connection_leak",
    "runaway_job",
    "gc_pressure",
    "swap_thrash",
    "slow_io",
    "gpu_memory_exhaustion",
    "noisy_neighbour",
    "failed_batch",
    "cascade",
]
Chance = Annotated[float, Field(ge=0, le=1)]
Hours = Annotated[float, Field(gt=0, le=60)]
RecoveryHours = Annotated[float, Field(gt=0, le=24)]


class IncidentConfig(Section):
    """What is changed about one kind of simulated incident; a key that is not given leaves it as it is."""

    weight: float | None = Field(
        None, ge=0, le=1000, description="How much more often than usual it happens, among all kinds; 0 is never."
    )
    ramp_hours: tuple[Hours, Hours] | None = Field(
        None, description="Shortest and longest time from the first sign to its full size."
    )
    hold_hours: tuple[Hours, Hours] | None = Field(
        None, description="Shortest and longest time that it then stays, until it is repaired."
    )
    recovery_hours: tuple[RecoveryHours, RecoveryHours] | None = Field(
        None, description="Shortest and longest time from the repair until nothing is left of it."
    )
    repair_chance: Chance | None = Field(None, description="Share that is noticed and repaired on the way up.")
    sudden_chance: Chance | None = Field(
        None, description="Share that is there within minutes, without warning; none where `ramp_hours` is given."
    )

    @model_validator(mode="after")
    def _lasting(self) -> Self:
        for key in ("ramp_hours", "hold_hours", "recovery_hours"):
            limits = getattr(self, key)
            if limits and limits[0] > limits[1]:
                raise ValueError(f"{key} goes from {limits[0]:g} to {limits[1]:g}; put the shortest first")
        return self


class SimulatorConfig(_Fetched):
    """A simulated fleet on the service's clock."""

    type: Literal["simulator"] = Field(description="`simulator`.")
    servers: FleetConfig = Field(default_factory=FleetConfig, description="Servers per profile.")
    seed: int = Field(0, ge=0, description="The same seed gives the same fleet and history.")
    incidents_per_server_week: float = Field(
        0.35, ge=0, le=5, description="Mean number of incidents; those that spread to other servers come on top."
    )
    incidents: dict[IncidentName, IncidentConfig] = Field(
        default_factory=dict, description="What is changed about a kind of incident; docs/simulator.md lists them."
    )

    reboots_per_server_week: float = Field(
        0.05, ge=0, le=5, description="Mean number of reboots, each a gap of 5 to 15 minutes."
    )
    outages_per_server_week: float = Field(
        0.15, ge=0, le=5, description="Mean number of gaps of 15 to 90 minutes of a whole server."
    )
    missing_rate: float = Field(0.002, ge=0, le=0.5, description="Share of samples that are lost one by one.")
    growth_pct_month: float = Field(
        1, ge=-10, le=10, description="Mean growth of traffic a month, in percent; each server has its own."
    )
    month_turn_ratio: float = Field(
        1.6,
        ge=1,
        le=4,
        description="How many times as long the runs of `database` and `risk_analytics` last on the last working day "
        "and the first day of a month.",
    )
    holidays: list[str] = Field(
        ["01-01", "05-01", "12-25", "12-26"], description="Days of the year, as MM-DD, with the traffic of a weekend."
    )

    @field_validator("holidays")
    @classmethod
    def _days(cls, value: list[str]) -> list[str]:
        strange = [day for day in value if not is_calendar_day(day)]
        if strange:
            raise ValueError(f"{strange[0]!r} is no day of a year; write it as MM-DD")
        return value

    @field_validator("incidents")
    @classmethod
    def _cascade_follows(cls, value: dict[IncidentName, IncidentConfig]) -> dict[IncidentName, IncidentConfig]:
        if "cascade" in value and value["cascade"].model_dump(exclude_none=True).keys() - {"weight"}:
            raise ValueError("a cascade follows the incident of another server; only its weight can be set")
        return value


class PrometheusConfig(_Fetched, HttpClientConfig):
    """Range queries against a Prometheus-compatible server."""

    type: Literal["prometheus"] = Field(description="`prometheus`.")
    url: HttpUrl = Field(description="Base URL, as in http://prometheus:9090.")
    queries: dict[str, str] = Field(
        min_length=1,
        description="PromQL by metric; each returns one series per server, averaged over five minutes.",
    )
    server_label: str = Field("instance", description="Label that names the server.")
    server_pattern: str = Field(
        r"^(.+?)(?::\d+)?$",
        description="Regular expression with one group: the part of that label that is the server; "
        "the default drops the port.",
    )
    profile_label: str | None = Field(None, description="Label that names the server's profile, if there is one.")
    timeout_seconds: float = Field(30, gt=0, le=600, description="Limit for one request.")
    deadline_seconds: float = Field(
        120, gt=0, le=3600, description="Limit for all requests of one stream in a tick, retries included."
    )
    chunk_hours: float = Field(
        24,
        ge=1,
        le=900,
        description="Span of one range query; kept under Prometheus' 11,000 points per series.",
    )
    overlap_steps: int = Field(
        2,
        ge=0,
        le=288,
        description="Steps before the newest that are asked for again, for samples that came late.",
    )

    @field_validator("server_pattern")
    @classmethod
    def _one_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if groups != 1:
            raise ValueError(f"needs exactly one group, has {groups}")
        return value


class ReplayConfig(_Fetched):
    """A metrics file, delivered as the clock passes its timestamps."""

    type: Literal["replay"] = Field(description="`replay`.")
    path: Path = Field(description="Parquet or CSV, long or wide; relative to the configuration file.")


class PushConfig(_Named):
    """Metrics that others send to `POST /api/v1/metrics`."""

    type: Literal["push"] = Field(description="`push`.")


SourceConfig = SimulatorConfig | PrometheusConfig | ReplayConfig | PushConfig
