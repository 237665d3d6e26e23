"""The alerting section of the configuration: when an alert fires and resolves, and which Alertmanagers receive it.

The components of ``daemon.alerting`` take this section itself.
"""

from collections import Counter
from typing import Self

from pydantic import Field, HttpUrl, field_validator, model_validator

from daemon.config.section import HttpClientConfig, Section

TARGET_PRECISION = 0.8
"""Default of ``alerting.target_precision``; a training without a configuration uses it too."""


class AlertmanagerConfig(HttpClientConfig):
    """An Alertmanager; it receives every alert."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_\-]+$",
        description="Name in logs, metrics and the queue; unique; letters, digits, _ and -.",
    )
    url: HttpUrl = Field(description="Base URL, as in http://alertmanager:9093.")
    timeout_seconds: float = Field(5, gt=0, le=60, description="Timeout of one request.")


class AlertingConfig(Section):
    """When an alert fires and resolves, and which Alertmanagers receive it; a tick is five minutes."""

    alertmanagers: list[AlertmanagerConfig] = Field(
        default_factory=list,
        description="Every alert is sent to each of them. Name every member of an Alertmanager cluster.",
    )
    target_precision: float = Field(
        TARGET_PRECISION,
        gt=0,
        lt=1,
        description="Share of the predicted breaches that should come true; the decision threshold of each metric is "
        "chosen for it.",
    )
    keep_severity: bool = Field(
        False,
        description="Send the configured severity where the decision threshold does not reach the target precision, "
        "instead of `info`.",
    )
    raise_ticks: int = Field(
        2, ge=1, le=288, description="An alert fires when this many of the last `raise_window` ticks predict a breach."
    )
    raise_window: int = Field(3, ge=1, le=288, description="Ticks with data that `raise_ticks` counts in.")
    clear_ticks: int = Field(
        5, ge=1, le=288, description="An alert resolves when this many of the last `clear_window` ticks are clear."
    )
    clear_window: int = Field(6, ge=1, le=288, description="Ticks with data that `clear_ticks` counts in.")
    clear_share: float = Field(
        0.6,
        gt=0,
        le=1,
        description="A tick without a breach is clear when its probability is below this share of the decision "
        "threshold.",
    )
    hold_ticks: int = Field(
        6, ge=0, le=288, description="Minimum number of ticks between two changes of an alert (fires, resolves)."
    )
    missing_hours: int = Field(
        24, ge=1, le=8_760, description="An alert is held while its data is missing; after this time it resolves."
    )
    queue_limit: int = Field(
        10_000,
        ge=1,
        description="Maximum number of changes queued on disk for one Alertmanager; above it, the oldest are dropped.",
    )
    fleet_servers: int = Field(
        3,
        ge=2,
        description="A group alert fires when at least this number of servers of a profile, and at least `fleet_share` "
        "of them, are predicted to breach the same threshold.",
    )
    fleet_share: float = Field(
        0.3, ge=0, le=1, description="Minimum share of the servers of a profile; see `fleet_servers`."
    )
    external_url: HttpUrl | None = Field(
        None, description="URL under which people reach this service; alerts link to it."
    )
    ledger_days: int = Field(
        90, ge=1, le=3_650, description="How long the prediction log keeps a prediction whose outcome is known."
    )

    @field_validator("alertmanagers")
    @classmethod
    def _distinct(cls, value: list[AlertmanagerConfig]) -> list[AlertmanagerConfig]:
        twice = [name for name, count in Counter(each.name for each in value).items() if count > 1]
        if twice:
            raise ValueError(f"the name {twice[0]!r} is used twice; give each Alertmanager its own")
        return value

    @model_validator(mode="after")
    def _attainable(self) -> Self:
        for verb in ("raise", "clear"):
            ticks, window = getattr(self, f"{verb}_ticks"), getattr(self, f"{verb}_window")
            if ticks > window:
                raise ValueError(
                    f"{verb}_ticks {ticks} of {verb}_window {window} is impossible; make {verb}_window at least {ticks}"
                )
        return self
