"""What an earlier commit left still loads, and the outside has the same names; tests/compatibility has both."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.compatibility.prepared import MODEL, SERVERS, SILENT, Prepared, prepared
from tests.compatibility.recording import NAMES, Names, everything, run
from tests.compatibility.shapes import differences, shape_of
from tests.servers.processes import wait_until

SECTIONS = ("alerts", "answers", "commands", "config", "files", "metrics", "openapi", "results")
EXACT = ("commands", "config", "metrics", "openapi")
SERIES = 32
FIRST, BASE_VALUES = "2026-01-10T00:00:00Z", 1650
"""The oldest forecast that was verified, and the number of values of the base network that were."""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """The service, which goes on where the earlier commit's ended."""
    with prepared(tmp_path_factory.mktemp("compatibility")) as running:
        yield running


@dataclass(frozen=True)
class Loaded:
    """What the service answers, and commands print, before anything was trained here."""

    answers: dict[str, Any]
    listed: Any
    shown: Any
    verification: str
    claims: Any
    readiness: Any
    exported: str


@pytest.fixture(scope="module")
def loaded(box: Prepared) -> Loaded:
    paths = ("status", "forecasts", "alerts", "alerts/history", "accuracy", "training", "models", "scenarios")
    answers = {path: box.get(f"/api/v1/{path}").json() for path in paths}
    return Loaded(
        answers,
        json.loads(run("models", "list", "--json", config=box.config)),
        json.loads(run("models", "show", MODEL, "--json", config=box.config)),
        run("models", "verify", MODEL, config=box.config),
        json.loads(run("claims", "--json", config=box.config)),
        json.loads(run("readiness", "--json", config=box.config, status=3)),
        run("export", box.config.parent / "loaded.parquet", config=box.config),
    )


@pytest.fixture(scope="module")
def names(box: Prepared, loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Names:
    """The names of this working tree; to record them promotes another model, so ``loaded`` comes first."""
    assert loaded.answers
    return everything(box, tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="module")
def store(box: Prepared) -> Iterator[sqlite3.Connection]:
    """The store as the earlier commit left it."""
    with closing(sqlite3.connect(box.before / "forewarn.sqlite")) as connection:
        yield connection


def test_the_earlier_model_makes_the_forecasts(loaded: Loaded) -> None:
    """Every series, also that of a server without new samples, is forecast by it; nothing falls back."""
    status, forecasts = loaded.answers["status"], loaded.answers["forecasts"]
    assert (status["ready"], status["model"], status["model_error"]) == (True, MODEL, "")
    assert status["forecast_source"] == {"model": SERIES, "base": 0, "baseline": 0}
    assert forecasts["total"] == SERIES
    assert {item["server"] for item in forecasts["items"]} == set(SERVERS)
    assert {(item["source"], item["model"]) for item in forecasts["items"]} == {("model", MODEL)}


def test_the_history_is_there_from_its_first_sample(loaded: Loaded) -> None:
    """The samples of ten days are in the export."""
    assert f"{SERIES} series, 2026-01-01T16:00:00Z to 2026-01-11T2" in loaded.exported


def test_alerts_go_on_since_when_they_fired(loaded: Loaded, store: sqlite3.Connection) -> None:
    """Alerts of each kind are still firing, and began when they did."""
    before = {
        key: json.loads(state)["since"]
        for *key_parts, state in store.execute("SELECT name, server, metric, severity, state FROM alerts")
        if json.loads(state)["phase"] == "firing"
        for key in [tuple(key_parts)]
    }
    now = {
        tuple(item[part] for part in ("name", "server", "metric", "severity")): item
        for item in loaded.answers["alerts"]["items"]
        if item["state"] == "firing"
    }
    assert ("PredictedBreach", "db-01", "mem_used_pct", "critical") in now
    assert ("ServerDataMissing", SILENT, "", "warning") in now
    kept = before.keys() & now.keys()
    assert {key[0] for key in kept} == {"PredictedBreach", "FleetPredictedBreach", "ServerDataMissing"}
    assert [_time(now[key]["since"]) for key in kept] == [before[key] for key in kept]


def test_queued_alerts_are_delivered(box: Prepared, store: sqlite3.Connection) -> None:
    """What an Alertmanager that could not be reached did not get comes now."""
    queued = {
        tuple(sorted(json.loads(text)["labels"].items()))
        for (text,) in store.execute("SELECT notification FROM notifications WHERE target = 'main'")
    }
    assert len(queued) > 10

    def received() -> set[tuple[tuple[str, str], ...]]:
        return {tuple(sorted(alert["labels"].items())) for posted in box.main.notifications() for alert in posted}

    wait_until(lambda: queued <= received(), 20, "the queued alerts")


def test_the_outcomes_of_earlier_predictions_are_in_the_history(loaded: Loaded, store: sqlite3.Connection) -> None:
    """Each that was judged is there, with the same probability and outcome."""
    query = "SELECT server, metric, severity, made, probability, outcome FROM predictions WHERE outcome IS NOT NULL"
    before = set(store.execute(query))
    assert Counter(row[-1] for row in before) == {"hit": 15, "late": 34, "missed": 18, "false": 2}
    history = loaded.answers["alerts/history"]
    now = {
        (item["server"], item["metric"], item["severity"], _time(item["made"]), item["probability"], item["outcome"])
        for item in history["items"]
    }
    assert before <= now
    assert history["figures"]["hits"] >= 15


def test_live_figures_count_the_earlier_forecasts(loaded: Loaded, store: sqlite3.Connection) -> None:
    """The base network made its last forecast before; its figures do not change any more."""
    accuracy = loaded.answers["accuracy"]
    assert (accuracy["since"], accuracy["judged"]["forecaster"]) == (FIRST, MODEL)
    base = [figure for figure in accuracy["figures"] if figure["forecaster"] == "base"]
    assert sum(figure["values"] for figure in base) == BASE_VALUES
    rows = "forecaster = 'base' AND metric = ? AND horizon = ?"
    query = f"SELECT sum(pinball) / sum(naive) FROM live_scores WHERE {rows}"  # noqa: S608 - constants
    skills = {(figure["metric"], figure["horizon"]): figure["skill"] for figure in base}
    assert skills == {key: pytest.approx(store.execute(query, key).fetchone()[0]) for key in skills}


def test_earlier_trainings_promotions_and_scenarios_are_on_record(loaded: Loaded) -> None:
    """One training was cancelled, one ended in the model that the gate promoted; four scenarios were posted."""
    runs = loaded.answers["training"]["runs"]
    assert [(each["id"], each["state"], each["model"]) for each in runs] == [
        ("20260110T092959Z", "succeeded", MODEL),
        ("20260110T070854Z", "cancelled", ""),
    ]
    models = loaded.answers["models"]
    assert [(each["id"], each["serves"], each["verdict"]) for each in models["items"]] == [(MODEL, True, "promoted")]
    (promotion,) = models["promotions"]["items"]
    assert (promotion["model"], promotion["previous"], promotion["back"], promotion["withdrawn"]) == (
        MODEL,
        None,
        False,
        False,
    )
    scenarios = {each["id"] for each in loaded.answers["scenarios"]["items"]}
    assert scenarios == {"memory_leak-1", "critical-2", "memory_leak-3", "critical-4"}


def test_commands_read_the_earlier_model(loaded: Loaded) -> None:
    """It is listed, shown and whole; a model of a week is a proof of concept and not ready."""
    (row,) = loaded.listed["models"]
    assert (loaded.listed["current"], row["id"], row["serves"], row["promoted"]) == (MODEL, MODEL, True, True)
    assert (loaded.shown["level"], loaded.shown["epochs"], loaded.shown["damage"]) == ("demo", 1, None)
    assert loaded.shown["servers"] == [server for server in SERVERS if server != SILENT]
    assert loaded.verification.startswith(f"{MODEL}: ")
    (claim,) = loaded.claims["may"]
    assert (loaded.claims["level"], claim["number"], claim["source"]) == (
        "demo",
        168.0,
        "training_info.json: data_hours",
    )
    readiness = loaded.readiness
    assert (readiness["model"], readiness["ready"]) == (MODEL, False)
    assert {check["passed"] for check in readiness["checks"]} == {True, False}


@pytest.mark.parametrize("section", SECTIONS)
def test_names_are_as_recorded(section: str, names: Names) -> None:
    """No name is missing or new; ``python -m tests.compatibility`` records a change that is meant."""
    recorded: Names = json.loads(NAMES.read_text(encoding="utf-8"))
    assert recorded[section]
    assert names[section].keys() == recorded[section].keys()
    exact = section in EXACT
    found = {place: differences(recorded[section][place], shape, exact) for place, shape in names[section].items()}
    assert {place: lines for place, lines in found.items() if lines} == {}


def test_every_section_is_compared(names: Names) -> None:
    """No part of the outside is recorded as empty."""
    assert set(names) == set(SECTIONS)
    assert "models show --json" in names["commands"]["forewarn"]
    assert "alerting.target_precision" in names["config"]["keys"]
    assert "forewarn_forecast.forewarn_forecast.quantile" in names["metrics"]["/metrics"]
    assert ".items[].quantiles" in names["openapi"]["GET /api/v1/forecasts 200 application/json"]
    # a path without parameters or a described body has no names there
    described = {section: shapes for section, shapes in names.items() if section != "openapi"}
    assert [place for shapes in described.values() for place, shape in shapes.items() if not shape] == []


def test_a_removed_a_new_and_a_retyped_name_are_found() -> None:
    """Nothing below an empty list or a null is taken for missing; everything else is."""
    recorded = shape_of({"runs": [{"id": "a", "seconds": 1.5}], "drift": {"share": 0.5}, "web-01": 1}, {"web-01"})
    assert differences(recorded, shape_of({"runs": [], "drift": None, "db-01": 2}, {"db-01"})) == []
    changed = shape_of({"runs": [{"id": 1, "took": 1.5}], "drift": {"share": 0.5}}, ())
    assert differences(recorded, changed) == [
        ".*: missing",
        ".runs[].id: ['int'], was ['str']",
        ".runs[].seconds: missing",
        ".runs[].took: new",
    ]


def _time(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
