"""The ``sources`` section of the schema: one class for each type of source."""

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
        720,
        gt=0,
        le=9_600,
        description="How far back the history is fetched at the first start, and after a gap, in hours.",
    )


class FleetConfig(Section):
    """Number of simulated servers of each profile."""

    ml_compute: int = Field(4, ge=0, description="GPU servers for training and inference.")
    database: int = Field(3, ge=0, description="Database servers.")
    web_api: int = Field(4, ge=0, description="Web and API servers.")
    conductor_mgmt: int = Field(1, ge=0, description="Orchestration servers.")
    data_ingest: int = Field(3, ge=0, description="Stream and batch ingestion servers.")
    risk_analytics: int = Field(3, ge=0, description="Analytics servers.")
    generic: int = Field(2, ge=0, description="All other servers.")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not sum(self.model_dump().values()):
            raise ValueError("the fleet has no server; set at least one profile above 0")
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
    """Changes to one kind of simulated incident; an absent key keeps the default of the kind."""

    weight: float | None = Field(
        None, ge=0, le=1000, description="Relative frequency among all kinds; 1 is the default, 0 is never."
    )
    ramp_hours: tuple[Hours, Hours] | None = Field(
        None, description="Shortest and longest time from the start to the full size, in hours."
    )
    hold_hours: tuple[Hours, Hours] | None = Field(
        None, description="Shortest and longest time at full size until the repair, in hours."
    )
    recovery_hours: tuple[RecoveryHours, RecoveryHours] | None = Field(
        None, description="Shortest and longest time from the repair to normal values, in hours."
    )
    repair_chance: Chance | None = Field(
        None, description="Share of the incidents that are repaired before the full size."
    )
    sudden_chance: Chance | None = Field(
        None, description="Share of the incidents that reach the full size within minutes; 0 where `ramp_hours` is set."
    )

    @model_validator(mode="after")
    def _lasting(self) -> Self:
        for key in ("ramp_hours", "hold_hours", "recovery_hours"):
            limits = getattr(self, key)
            if limits and limits[0] > limits[1]:
                raise ValueError(f"{key}: {limits[0]:g} is more than {limits[1]:g}; write the shortest time first")
        return self


class SimulatorConfig(_Fetched):
    """A simulated fleet on the service's clock."""

    type: Literal["simulator"] = Field(description="`simulator`.")
    servers: FleetConfig = Field(default_factory=FleetConfig, description="Number of servers of each profile.")
    seed: int = Field(
        0, ge=0, description="Seed of the random numbers; the same seed gives the same fleet and history."
    )
    incidents_per_server_week: float = Field(
        0.35,
        ge=0,
        le=5,
        description="Mean number of incidents per server and week, without those that spread from other servers.",
    )
    incidents: dict[IncidentName, IncidentConfig] = Field(
        default_factory=dict,
        description="Changes to the kinds of incident, by name; docs/simulator.md lists the kinds.",
    )
    reboots_per_server_week: float = Field(
        0.05, ge=0, le=5, description="Mean number of reboots per server and week; each is a gap of 5 to 15 minutes."
    )
    outages_per_server_week: float = Field(
        0.15, ge=0, le=5, description="Mean number of gaps of 15 to 90 minutes per server and week."
    )
    missing_rate: float = Field(0.002, ge=0, le=0.5, description="Share of single samples that are missing.")
    growth_pct_month: float = Field(
        1, ge=-10, le=10, description="Mean growth of the traffic per month, in percent; it differs between servers."
    )
    month_turn_ratio: float = Field(
        1.6,
        ge=1,
        le=4,
        description="Duration of the jobs of `database` and `risk_analytics` on the last working day and the first day "
        "of a month, as a multiple of their usual duration.",
    )
    holidays: list[str] = Field(
        ["01-01", "05-01", "12-25", "12-26"], description="Days of the year, as MM-DD, with the traffic of a weekend."
    )

    @field_validator("holidays")
    @classmethod
    def _days(cls, value: list[str]) -> list[str]:
        wrong = [day for day in value if not is_calendar_day(day)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is not a day of the year; write it as MM-DD")
        return value

    @field_validator("incidents")
    @classmethod
    def _cascade_follows(cls, value: dict[IncidentName, IncidentConfig]) -> dict[IncidentName, IncidentConfig]:
        if "cascade" in value and value["cascade"].model_dump(exclude_none=True).keys() - {"weight"}:
            raise ValueError("a cascade is caused by the incident of another server; only its weight can be set")
        return value


class PrometheusConfig(HttpClientConfig, _Fetched):
    """Range queries to a Prometheus-compatible server."""

    type: Literal["prometheus"] = Field(description="`prometheus`.")
    url: HttpUrl = Field(description="Base URL, as in http://prometheus:9090.")
    queries: dict[str, str] = Field(
        min_length=1,
        description="PromQL by metric; each query returns one series per server, averaged over five minutes.",
    )
    server_label: str = Field("instance", description="Label with the name of the server.")
    server_pattern: str = Field(
        r"^(.+?)(?::\d+)?$",
        description="Regular expression with one group: the part of that label that is the name of the server. "
        "The default removes the port.",
    )
    profile_label: str | None = Field(None, description="Label with the profile of the server, if there is one.")
    timeout_seconds: float = Field(30, gt=0, le=600, description="Timeout of one request.")
    deadline_seconds: float = Field(
        120, gt=0, le=3600, description="Timeout of all requests for one metric in a tick, including retries."
    )
    chunk_hours: float = Field(
        24,
        ge=1,
        le=900,
        description="Time span of one range query, in hours; at most Prometheus' limit of 11,000 points per series.",
    )
    overlap_steps: int = Field(
        2,
        ge=0,
        le=288,
        description="Number of steps before the newest sample that are fetched again, for samples that arrive late.",
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
    """A metrics file whose samples are delivered when the clock reaches their timestamps."""

    type: Literal["replay"] = Field(description="`replay`.")
    path: Path = Field(description="Parquet or CSV file, long or wide; relative to the configuration file.")


class PushConfig(_Named):
    """Metrics that others send to `POST /api/v1/metrics`."""

    type: Literal["push"] = Field(description="`push`.")


SourceConfig = SimulatorConfig | PrometheusConfig | ReplayConfig | PushConfig
