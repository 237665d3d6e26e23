from dataclasses import replace

import numpy as np
import pytest

from daemon.core.forecast import Forecast
from daemon.core.levels import LevelName
from daemon.core.series import Panel
from daemon.core.server import ServerState
from daemon.forecasting.verification import LiveAssessment, Tally, VerificationResult
from daemon.models.record import ModelRecord
from daemon.models.runs import TrainingRequest, Trigger
from daemon.pipeline.cycle import Snapshot
from daemon.pipeline.triggers import TriggerRules, Triggers
from tests.panels import daily_panel

DAY = 86_400
PANEL = daily_panel(5, 14, missing=0)
AT = PANEL.end
NAMES = [f"server-{n:02}" for n in range(5)]
RULES = TriggerRules(frozenset(Trigger), 0.2, 0.5)
RECORD = ModelRecord(
    model="m",
    level=LevelName.PRODUCTION,
    trained_at=AT - 2 * DAY,
    epochs=20,
    train_loss=0.1,
    validation_loss=0.2,
    learning_rate=1e-3,
    samples_per_second=900,
    duration_seconds=60,
    quantile_loss=0.3,
    skill={},
    trained_until=float(AT - 2 * DAY),
    servers=tuple(NAMES),
)
BAD = LiveAssessment("m", DAY, Tally(count=100, pinball=11, naive=10, baseline=8, inside=(50, 80, 96)))


def server(name: str, profile: str = "generic", state: str = "known") -> ServerState:
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


def look(snapshot: Snapshot, panel: Panel = PANEL, rules: TriggerRules = RULES) -> TrainingRequest | None:
    return Triggers(rules).look(snapshot, panel).request


def test_where_all_is_well_nothing_is_wished_for() -> None:
    """A model, no new server, sound figures, no drift."""
    assert look(SOUND) is None


def test_a_week_of_history_and_no_model_is_a_reason() -> None:
    """Not before the week is full, and not where there is a model that cannot be loaded: that one is to be mended."""
    bare = replace(SOUND, model="", record=None)
    request = look(bare)
    assert request is not None
    assert request.trigger is Trigger.FIRST
    assert look(bare, PANEL.between(AT - 6 * DAY, AT)) is None
    assert look(replace(bare, model_error="damaged")) is None


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        ((*FLEET, server("new")), ""),
        ((*FLEET, server("new"), server("newer")), "2 of 7 servers"),
        ((*FLEET, server("new", state="cold"), server("newer", state="cold")), ""),
        ((*FLEET, server("new", "database")), "no server of the profile database"),
    ],
)
def test_new_servers_are_a_reason_when_there_are_many_or_of_a_new_kind(
    servers: tuple[ServerState, ...], said: str
) -> None:
    """A fifth of the fleet is not yet many; what has no day of history cannot be learnt from."""
    request = look(replace(SOUND, servers=servers))
    assert (request is None) == (not said)
    assert request is None or (request.trigger is Trigger.NEW_SERVERS and said in request.why)
    unknown = replace(SOUND, servers=servers, record=replace(RECORD, servers=()))
    assert look(unknown) is None


def test_bad_live_figures_are_a_reason() -> None:
    """Those of what serves, or that it was withdrawn for them."""
    request = look(replace(SOUND, verification=VerificationResult(assessment=BAD)))
    assert request is not None
    assert (request.trigger, "1.100 of seasonal naive's" in request.why) == (Trigger.QUALITY, True)
    request = look(replace(SOUND, withdrawn="withdrawn at noon: it was worse"))
    assert request is not None
    assert (request.trigger, "withdrawn at noon" in request.why) == (Trigger.QUALITY, True)


def test_drift_is_a_reason() -> None:
    """More than half of the series behave otherwise; the share is told whether it is a reason or not."""
    values = PANEL.values.copy()
    values[:6, -288:] += 40
    panel = Panel(PANEL.keys, PANEL.start, values)
    trigger_check = Triggers(RULES).look(SOUND, panel)
    assert trigger_check.drift == pytest.approx(0.6)
    assert trigger_check.request is not None
    assert trigger_check.request.trigger is Trigger.DRIFT
    lax = Triggers(replace(RULES, drift_share=0.6)).look(SOUND, panel)
    assert (lax.request, lax.drift) == (None, pytest.approx(0.6))


def test_drift_is_measured_now_and_then_and_for_each_model() -> None:
    """It costs a second on a large fleet: every six hours, or when another model serves."""
    triggers, calm = Triggers(RULES), PANEL
    values = PANEL.values.copy()
    values[:, -288:] += 40
    wild = Panel(PANEL.keys, PANEL.start, values)
    assert triggers.look(SOUND, calm).drift == 0
    assert triggers.look(replace(SOUND, at=AT), wild).drift == 0
    assert triggers.look(replace(SOUND, model="other"), wild).drift == 1


@pytest.mark.parametrize("trigger", [Trigger.FIRST, Trigger.QUALITY])
def test_only_what_is_configured_is_looked_for(trigger: Trigger) -> None:
    """An empty list is never."""
    snapshot = replace(SOUND, model="", record=None, withdrawn="withdrawn: it was worse")
    request = look(snapshot, rules=replace(RULES, wanted=frozenset({trigger})))
    assert request is not None
    assert request.trigger is trigger
    assert look(snapshot, rules=replace(RULES, wanted=frozenset())) is None
