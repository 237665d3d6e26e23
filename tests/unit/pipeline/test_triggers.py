from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from daemon.config.training import TrainingConfig
from daemon.core.forecast import Forecast
from daemon.core.series import DataState, Panel, ServerState, as_text
from daemon.forecasting.verification import LiveAssessment, Tally, VerificationResult
from daemon.models.registry import Demotion
from daemon.models.runs import TrainingRequest, Trigger
from daemon.pipeline.cycle import Snapshot
from daemon.pipeline.triggers import Triggers
from tests.panels import daily_panel
from tests.training_records import model_record

DAY = 86_400
PANEL = daily_panel(5, 14, missing=0)
AT = PANEL.end
NAMES = [f"server-{n:02}" for n in range(5)]
CONFIG = TrainingConfig()
RECORD = model_record(data_to=as_text(AT - 2 * DAY), servers=NAMES)
BAD = LiveAssessment("m", DAY, Tally(count=100, pinball=11, naive=10, baseline=8, inside=(50, 80, 96)))


def server(name: str, profile: str = "generic", state: DataState = DataState.KNOWN) -> ServerState:
    return ServerState(name=name, profile=profile, state=state, metrics=("cpu", "mem"), newest=AT)


FLEET = tuple(server(name) for name in NAMES)
SOUND = Snapshot(
    at=AT,
    made=AT,
    forecast=Forecast(origin=AT, keys=(), paths=np.empty((0, 0, 0), np.float32), kinds=()),
    servers=FLEET,
    sources=(),
    model="m",
    model_error="",
    record=RECORD,
)


def check(snapshot: Snapshot, panel: Panel = PANEL, config: TrainingConfig = CONFIG) -> TrainingRequest | None:
    return Triggers(config).check(snapshot, panel).request


def test_where_all_is_well_no_trigger_fires() -> None:
    """A model, no new server, sound figures, no drift."""
    assert check(SOUND) is None


def test_a_week_of_history_and_no_model_is_a_reason() -> None:
    """Not before the week is full, and not where a model cannot be loaded: that one has to be repaired."""
    bare = replace(SOUND, model="", record=None)
    request = check(bare)
    assert request is not None
    assert request.trigger is Trigger.FIRST
    assert check(bare, PANEL.between(AT - 6 * DAY, AT)) is None
    assert check(replace(bare, model_error="damaged")) is None


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        ((*FLEET, server("new")), ""),
        ((*FLEET, server("new"), server("newer")), "not trained on 2 of 7 servers"),
        ((*FLEET, server("new", state=DataState.COLD), server("newer", state=DataState.COLD)), ""),
        ((*FLEET, server("new", "database")), "no server of the profile database"),
    ],
)
def test_new_servers_are_a_reason_when_there_are_many_or_of_a_new_kind(
    servers: tuple[ServerState, ...], reason: str
) -> None:
    """A fifth of the fleet is not many; a server without a day of history does not count."""
    request = check(replace(SOUND, servers=servers))
    assert (request is None) == (not reason)
    assert request is None or (request.trigger is Trigger.NEW_SERVERS and reason in request.why)
    unknown = replace(SOUND, servers=servers, record=model_record(servers=None))
    assert check(unknown) is None


def test_bad_live_figures_are_a_reason() -> None:
    """Those of the serving model, or its demotion because of them."""
    request = check(replace(SOUND, verification=VerificationResult(assessment=BAD)))
    assert request is not None
    assert (request.trigger, "1.100 of seasonal naive's" in request.why) == (Trigger.QUALITY, True)
    request = check(replace(SOUND, demotion=Demotion("noon", "it was worse")))
    assert request is not None
    assert (request.trigger, "demoted at noon: it was worse" in request.why) == (Trigger.QUALITY, True)


def test_drift_is_a_reason() -> None:
    """More than half of the series drifted; the share is known whether it is a reason or not."""
    values = PANEL.values.copy()
    values[:6, -288:] += 40
    panel = Panel(PANEL.keys, PANEL.start, values)
    trigger_check = Triggers(CONFIG).check(SOUND, panel)
    assert trigger_check.drift == pytest.approx(0.6)
    assert trigger_check.request is not None
    assert trigger_check.request.trigger is Trigger.DRIFT
    lax = Triggers(TrainingConfig(drift_share=0.6)).check(SOUND, panel)
    assert (lax.request, lax.drift) == (None, pytest.approx(0.6))


def test_drift_is_measured_now_and_then_and_for_each_model() -> None:
    """It takes seconds on a large fleet: every six hours, or when another model serves."""
    triggers, calm = Triggers(CONFIG), PANEL
    values = PANEL.values.copy()
    values[:, -288:] += 40
    wild = Panel(PANEL.keys, PANEL.start, values)
    assert triggers.check(SOUND, calm).drift == 0
    assert triggers.check(replace(SOUND, at=AT), wild).drift == 0
    assert triggers.check(replace(SOUND, model="other"), wild).drift == 1


@pytest.mark.parametrize("name", ["first", "quality"])
def test_only_configured_triggers_fire(name: Literal["first", "quality"]) -> None:
    """With an empty list none does."""
    snapshot = replace(SOUND, model="", record=None, demotion=Demotion("noon", "it was worse"))
    request = check(snapshot, config=TrainingConfig(triggers=(name,)))
    assert request is not None
    assert request.trigger.value == name
    assert check(snapshot, config=TrainingConfig(triggers=())) is None
