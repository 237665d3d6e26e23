"""The outside of the program as names: what others read, call or configure."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
import yaml
from typer.testing import CliRunner

from daemon.cli.app import app
from tests.compatibility.prepared import MODEL, SERVERS, Prepared
from tests.compatibility.shapes import (
    Shape,
    columns_of,
    shape_of,
    shape_of_lines,
    shape_of_metrics,
    shape_of_schema,
)
from tests.servers.processes import wait_until

NAMES = Path(__file__).parent / "names.json"
_REFERENCE = Path(__file__).parents[2] / "docs" / "configuration.md"
_ENDPOINTS = (
    "/healthz",
    "/readyz",
    "/api/v1/status",
    "/api/v1/servers",
    "/api/v1/servers/db-01",
    "/api/v1/forecasts",
    "/api/v1/alerts",
    "/api/v1/alerts/history",
    "/api/v1/models",
    "/api/v1/training",
    "/api/v1/claims",
    "/api/v1/readiness",
    "/api/v1/accuracy",
    "/api/v1/scenarios",
)
_REFUSED = {"/api/v1/servers/nobody": 404, "/nowhere": 404, "/api/v1/servers?limit=0": 422}
_ONE_MACHINES = ("forewarn_gpu_", "forewarn_memory_bytes")
"""Metrics that depend on the machine: its GPUs, and its control groups."""
_RESULTS = {
    "forecast": ("forecast", "--server", "db-01", "--json"),
    "models list": ("models", "list", "--json"),
    "models show": ("models", "show", MODEL, "--json"),
    "claims": ("claims", "--json"),
    "readiness": ("readiness", "--json"),
}
_BACKTEST = ("--from", "2026-01-11T06:00:00Z", "--every", "6h", "--metrics", "cpu_busy_pct", "--no-peers", "--json")

Names = dict[str, dict[str, Shape]]


def run(*arguments: str | Path, config: Path | None = None, status: int = 0) -> str:
    """Run a command of forewarn in this process and return what it printed; fail unless it ends with ``status``."""
    line = [*map(str, arguments), *(["--config", str(config)] if config else [])]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == status, f"{line}: {done.output} {done.exception!r}"
    return done.stdout


def api_names(box: Prepared) -> Names:
    """Return the names in answers, in the description of all paths, on /metrics and in what an Alertmanager gets."""
    data = _names_of_the_user(box)
    answers = {path: shape_of(box.get(path).json(), data) for path in _ENDPOINTS}
    for path, status in _REFUSED.items():
        refused = box.get(path)
        assert refused.status == status, refused
        answers[f"{path} {status}"] = shape_of(refused.json(), data)
    refused = box.service.get("/api/v1/status")
    assert refused.status == 401, refused
    answers["/api/v1/status 401"] = shape_of(refused.json(), data)
    # the drift is measured after the service is ready, at the end of the tick
    wait_until(lambda: "forewarn_drift_ratio" in box.get("/metrics").text, 60, "the measurement of the drift")
    metrics = shape_of_metrics(box.get("/metrics").text)
    return {
        "answers": answers,
        "openapi": _described(box.get("/openapi.json").json()),
        "metrics": {"/metrics": {name: kind for name, kind in metrics.items() if not name.startswith(_ONE_MACHINES)}},
        "alerts": _delivered(box),
    }


def begun_training_names(box: Prepared) -> Names:
    """Let the service train, and return the names that say so."""
    data = _names_of_the_user(box)
    current = box.data_dir / "training" / "current.json"
    assert box.post("/api/v1/training", {"level": "demo"}).status == 202
    wait_until(current.exists, 10, "the note of a training under way")
    return {
        "answers": {"/api/v1/training under way": shape_of(box.get("/api/v1/training").json(), data)},
        "files": {"training/current.json": shape_of(json.loads(current.read_text(encoding="utf-8")), data)},
    }


def ended_training_names(box: Prepared) -> Names:
    """Promote the model of the training once it ended, and return the names in the files that all this wrote."""
    data = _names_of_the_user(box)
    training = box.data_dir / "training"
    wait_until(lambda: not (training / "current.json").exists(), 120, "the end of the training")
    trained = json.loads((training / "runs.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert trained["state"] in ("succeeded", "rejected"), trained
    made = trained["model"]
    assert made != MODEL
    run("models", "promote", made, config=box.config)
    (promotion,) = (
        line
        for line in (box.data_dir / "models" / "promotions.jsonl").read_text(encoding="utf-8").splitlines()[-1:]
        if json.loads(line)["model"] == made
    )
    assert box.post("/api/v1/scenarios", {"kind": "memory_leak", "servers": ["web-02"]}).status in (200, 201, 202)
    found = {
        "training/runs.jsonl": shape_of(trained, data),
        "models/promotions.jsonl": shape_of(json.loads(promotion), data),
        "scenarios.json": shape_of(json.loads((box.data_dir / "scenarios.json").read_text(encoding="utf-8")), data),
        "": {_anonymous(path.name, made): ["file"] for path in box.data_dir.iterdir() if "sqlite-" not in path.name},
        "models": {_anonymous(path.name, made): ["file"] for path in (box.data_dir / "models").iterdir()},
        **_model_files(box.data_dir / "models" / made, {*data, made}),
    }
    return {"files": found}


def command_names(box: Prepared, folder: Path) -> Names:
    """Return the commands and their options, and the names in what they print as JSON and write as files."""
    data = _names_of_the_user(box)
    results = {}
    for name, arguments in _RESULTS.items():
        # a demo model is not for production, and readiness says so by its status
        printed = run(*arguments, config=box.config, status=3 if name == "readiness" else 0)
        results[name] = shape_of(json.loads(printed), data)
    history, forecasts = folder / "history.parquet", folder / "forecasts.parquet"
    run("export", history, config=box.config)
    printed = run("backtest", "--data", history, *_BACKTEST, "--out", forecasts, config=box.config)
    results["backtest"] = shape_of(json.loads(printed), data)
    printed = run("backtest", "--data", history, *_BACKTEST, "--alerts", config=box.config)
    results["backtest --alerts"] = shape_of(json.loads(printed), data)
    run("simulate", "--hours", "168", "--num-ml-compute", "1", "--out", folder / "fleet")
    fleet = folder / "fleet"
    return {
        "commands": {"forewarn": _options(typer.main.get_command(app), "")},
        "results": results,
        "files": {
            "export": columns_of(history),
            "backtest --out": columns_of(forecasts),
            "simulate": {path.name: ["file"] for path in fleet.iterdir()},
            "simulate fleet.json": shape_of(json.loads((fleet / "fleet.json").read_text(encoding="utf-8")), data),
            "simulate server_metrics.parquet": columns_of(fleet / "server_metrics.parquet"),
            "simulate incidents.parquet": columns_of(fleet / "incidents.parquet"),
        },
    }


def config_names() -> Names:
    """Return every key of the configuration and its default, as the reference has them."""
    rows = re.findall(r"^\| `(\S+)` \| [^|]* \| ([^|]*?) ?\|", _REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    return {"config": {"keys": {key: [default.strip()] for key, default in rows}}}


def joined(*parts: Names) -> Names:
    """Return all ``parts`` as one."""
    result: Names = {}
    for part in parts:
        for name, shapes in part.items():
            result.setdefault(name, {}).update(shapes)
    return result


def everything(box: Prepared, folder: Path) -> Names:
    """Return all names of the outside; ``folder`` takes the files that the commands write."""
    parts = [api_names(box), begun_training_names(box)]
    # the commands run while it trains
    parts += [command_names(box, folder), ended_training_names(box), config_names()]
    return joined(*parts)


def _names_of_the_user(box: Prepared) -> set[str]:
    """Return what is a key somewhere, and is the user's own word or an id."""
    config = yaml.safe_load(box.config.read_text(encoding="utf-8"))
    profiles = {"generic", *config["sources"][0]["servers"]}
    return {*config["metrics"], *SERVERS, *profiles, MODEL}


def _described(openapi: Mapping[str, Any]) -> dict[str, Shape]:
    found = {}
    components = openapi["components"]["schemas"]
    for path, methods in openapi["paths"].items():
        # what stands in braces is a name only here
        place = re.sub(r"\{\w+\}", "{}", path)
        for method, described in methods.items():
            name = f"{method.upper()} {place}"
            found[f"{name} query"] = {
                given["name"]: sorted(shape_of_schema(given["schema"], components)[""])
                for given in described.get("parameters", ())
                if given["in"] == "query"
            }
            for status, answer in described["responses"].items():
                for kind, content in answer.get("content", {}).items():
                    shape = shape_of_schema(content.get("schema", {}), components)
                    found[f"{name} {status} {kind}"] = shape
            for kind, content in described.get("requestBody", {}).get("content", {}).items():
                found[f"{name} body {kind}"] = shape_of_schema(content["schema"], components)
    return found


def _delivered(box: Prepared) -> dict[str, Shape]:
    """Return the names in the alerts that this working tree sends, by the alert's name."""
    kinds = {"PredictedBreach", "FleetPredictedBreach", "ServerDataMissing"}

    def alerts() -> list[dict[str, Any]]:
        return [alert for posted in box.second.notifications() for alert in posted]

    wait_until(lambda: kinds <= {alert["labels"]["alertname"] for alert in alerts()}, 30, "alerts of every kind")
    return {kind: shape_of([each for each in alerts() if each["labels"]["alertname"] == kind], ()) for kind in kinds}


def _model_files(folder: Path, data: set[str]) -> dict[str, Shape]:
    found: dict[str, Shape] = {"models/ID": {path.name: ["file"] for path in folder.iterdir()}}
    for name in ("model.json", "calibration.json", "training_info.json"):
        found[f"models/ID/{name}"] = shape_of(json.loads((folder / name).read_text(encoding="utf-8")), data)
    found["models/ID/epochs.jsonl"] = shape_of_lines(folder / "epochs.jsonl", data)
    found["models/ID/samples.parquet"] = columns_of(folder / "samples.parquet")
    return found


def _anonymous(name: str, made: str) -> str:
    return "ID" if name in (made, MODEL) else name


def _options(command: Any, name: str) -> Shape:
    found = {name: ["command"]}
    for given in command.params:
        for option in (*given.opts, *given.secondary_opts):
            found[f"{name} {option}"] = [given.param_type_name]
    # typer may bring a click of its own, so that no class tells a group from a command
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        for each in command.list_commands(context):
            found |= _options(command.get_command(context, each), f"{name} {each}".strip())
    return found
