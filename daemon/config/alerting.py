"""The part of the schema that says when people are warned, and through whom."""

from collections import Counter
from typing import Self

from pydantic import Field, HttpUrl, field_validator, model_validator

from daemon.alerting.state import Policy
from daemon.config.section import HttpClientConfig, Section
from daemon.core.series import STEPS_PER_HOUR


class AlertmanagerConfig(HttpClientConfig):
    """An Alertmanager; it gets every alert."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_\-]+$",
        description="Name in logs, metrics and the queue; unique, letters, digits, _ and -.",
    )
    url: HttpUrl = Field(description="Base URL, as in http://alertmanager:9093.")
    timeout_seconds: float = Field(5, gt=0, le=60, description="Timeout of one request.")


class AlertingConfig(Section):
    """When an alert is raised and cleared, and who is told; ticks are five minutes."""

    alertmanagers: list[AlertmanagerConfig] = Field(
        default_factory=list,
        description="Who gets the alerts, all of them each; name every member of an Alertmanager cluster.",
    )
    target_precision: float = Field(
        0.8, gt=0, lt=1, description="Share of the predicted breaches that shall come true; decides each metric's cut."
    )
    keep_severity: bool = Field(
        False,
        description="Keep the configured severity of alerts whose cut does not reach the target precision, "
        "instead of sending them as info.",
    )
    raise_ticks: int = Field(
        2, ge=1, le=288, description="Predicted ticks, of the last `raise_window`, that raise an alert."
    )
    raise_window: int = Field(3, ge=1, le=288, description="Ticks with data that are looked at to raise an alert.")
    clear_ticks: int = Field(5, ge=1, le=288, description="Quiet ticks, of the last `clear_window`, that clear it.")
    clear_window: int = Field(6, ge=1, le=288, description="Ticks with data that are looked at to clear an alert.")
    clear_share: float = Field(
        0.6,
        gt=0,
        le=1,
        description="A tick without a breach is quiet when its probability is below this share of the cut.",
    )
    hold_ticks: int = Field(
        6, ge=0, le=288, description="Least ticks between an alert's raising and clearing, or back."
    )
    missing_hours: int = Field(
        24, ge=1, le=8_760, description="An alert is held while its data is missing, but given up after this long."
    )
    queue_limit: int = Field(
        10_000,
        ge=1,
        description="Alerts that wait on disk for one Alertmanager, at most; the oldest go first.",
    )
    fleet_servers: int = Field(
        3,
        ge=2,
        description="One alert for the fleet when at least so many servers of a profile, and at least `fleet_share` "
        "of them, are predicted to breach the same threshold.",
    )
    fleet_share: float = Field(
        0.3, ge=0, le=1, description="Share of a profile's servers for that; see `fleet_servers`."
    )
    external_url: HttpUrl | None = Field(None, description="Where people reach this service; alerts link to it.")
    ledger_days: int = Field(
        90, ge=1, le=3_650, description="How long judged predictions are kept, to tell how many come true."
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
                    f"{verb}_ticks {ticks} of {verb}_window {window} can never be; make {verb}_window at least {ticks}"
                )
        return self

    def policy(self) -> Policy:
        """Return the record that the code works with."""
        return Policy(
            raise_ticks=self.raise_ticks,
            raise_window=self.raise_window,
            clear_ticks=self.clear_ticks,
            clear_window=self.clear_window,
            clear_share=self.clear_share,
            hold_ticks=self.hold_ticks,
            missing_ticks=self.missing_hours * STEPS_PER_HOUR,
        )
