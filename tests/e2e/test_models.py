"""``forewarn models`` as a user types it, and ``forewarn train`` when the gate rejects the model."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from daemon.breach.model import BASE_FOLDER
from daemon.config.loading import default_text
from daemon.models.registry import ModelRegistry
from daemon.network.artifact import load_network
from tests.model_directory import register
from tests.servers.forewarn import forewarn, imports

REJECTED = {"promoted": False, "reasons": ["It does not beat seasonal naive: 1.234 of its pinball loss."]}


def models(
    command: str, *arguments: str, folder: Path, status: int = 0, config: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``forewarn models`` on ``folder / "models"``; fail if it does not end with ``status``."""
    where = ("--config", "mine.yaml") if config else ("--models", "models")
    return forewarn("models", command, *arguments, *where, folder=folder, status=status)


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models")


def test_the_list_shows_every_model_and_which_one_serves(registry: ModelRegistry, tmp_path: Path) -> None:
    """Each promoted, rejected, old or damaged model has a row, in the table and in the JSON."""
    assert "no model yet; make one with forewarn train" in models("list", folder=tmp_path).stderr
    serving, rejected = register(registry), register(registry, verdict=REJECTED)
    old, damaged, torn = register(registry, verdict=None), register(registry), register(registry)
    registry.promote(serving, "by a test")
    (registry.path(damaged) / "model.safetensors").unlink()
    (registry.path(torn) / "training_info.json").write_text('{"level": "[/demo]', encoding="utf-8")
    rows = {}
    for line in models("list", folder=tmp_path).stdout.splitlines():
        cells = [cell.strip() for cell in line.split("│")]
        rows[cells[2] if len(cells) > 2 else ""] = cells
    assert rows[serving][1:-1] == ["serves", serving, "2026-02-01 03:04", "production", "6", "0.155", "promoted"]
    assert (rows[rejected][1], rows[rejected][-2]) == ("", "rejected")
    assert rows[old][-2] == "before the gate"
    assert rows[damaged][-2] == "damaged: model.safetensors: is missing"
    assert rows[torn][-2].startswith("damaged: ")
    listed = json.loads(models("list", "--json", folder=tmp_path).stdout)
    assert listed["current"] == serving
    document = {row["id"]: row for row in listed["models"]}
    assert {name: row.get("promoted") for name, row in document.items()} == {
        serving: True, rejected: False, old: None, damaged: None, torn: None
    }  # fmt: skip
    assert [name for name, row in document.items() if row["serves"]] == [serving]
    assert document[damaged]["problem"] == "model.safetensors: is missing"
    shutil.rmtree(registry.path(serving))
    assert f"{serving} is to serve and is missing" in models("list", folder=tmp_path).stderr


def test_show_says_why_the_gate_decided_and_the_skill_per_metric(registry: ModelRegistry, tmp_path: Path) -> None:
    """The output has the record, the reasons and a row per metric; the name of a metric is not taken as markup."""
    name = register(registry, verdict=REJECTED, skill_vs_seasonal_naive={"cpu": 0.61, "used[/var]": 0.83})
    shown = models("show", name, folder=tmp_path).stdout
    assert "level production, trained 2026-02-01 03:04 in 180 s" in shown
    assert "gate decision: rejected\n  It does not beat seasonal naive: 1.234 of its pinball loss.\n" in shown
    rows = [[cell.strip() for cell in line.split("│")][1:-1] for line in shown.splitlines() if "│" in line]
    assert rows == [["cpu", "0.610"], ["used[/var]", "0.830"]]
    document = json.loads(models("show", name, "--json", folder=tmp_path).stdout)
    assert (document["promoted"], document["reasons"]) == (False, REJECTED["reasons"])
    assert (document["serves"], document["promotions"], document["damage"]) == (False, [], None)
    unknown = models("show", "nope", folder=tmp_path, status=1).stderr
    assert f"no model 'nope' in models; there are: {name}" in unknown


def test_a_demoted_model_is_shown_as_such(registry: ModelRegistry, tmp_path: Path) -> None:
    """The model is current and does not serve; the output has the time and the reason."""
    name = register(registry)
    registry.promote(name, "by a test")
    registry.demote(name, "its pinball loss was 1.200 of the climatology's")
    (row,) = json.loads(models("list", "--json", folder=tmp_path).stdout)["models"]
    assert (row["serves"], row["withdrawn"]) == (False, True)
    assert "demoted" in models("list", folder=tmp_path).stdout
    shown = models("show", name, folder=tmp_path).stdout
    assert ", demoted\n" in shown
    assert re.search(r"demoted at \S+: its pinball loss was 1.200", shown)
    models("promote", name, folder=tmp_path)
    assert json.loads(models("list", "--json", folder=tmp_path).stdout)["models"][0]["serves"]


def test_a_rejected_model_can_be_promoted_by_hand_and_that_is_on_record(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    """Promote prints the gate decision; rollback undoes it and prints the serving model; a second one has no model."""
    good, rejected, damaged = register(registry), register(registry, verdict=REJECTED), register(registry)
    registry.promote(good, "by a test")
    (registry.path(damaged) / "calibration.json").unlink()
    done = models("promote", rejected, folder=tmp_path)
    assert done.stdout == f"{rejected} serves from the next tick\n"
    assert "the gate had rejected it: It does not beat seasonal naive: 1.234" in done.stderr
    assert registry.current() == rejected
    assert registry.promotions()[-1].why == "promoted by hand, although the gate had rejected it"
    refused = models("promote", damaged, folder=tmp_path, status=1).stderr
    assert f"{damaged}: is damaged and cannot serve: calibration.json: is missing" in refused
    models("promote", "nope", folder=tmp_path, status=1)
    assert registry.current() == rejected
    back = models("rollback", folder=tmp_path).stdout
    assert back == f"{good} serves again from the next tick, instead of {rejected}\n"
    assert registry.current() == good
    assert f"no model that served before {good}" in models("rollback", folder=tmp_path, status=1).stderr
    assert registry.current() == good


def test_rollback_names_the_models_that_it_skips(registry: ModelRegistry, tmp_path: Path) -> None:
    """A deleted model cannot serve again; the model before it can."""
    names = [register(registry) for _ in range(3)]
    for name in names:
        registry.promote(name, "by a test")
    shutil.rmtree(registry.path(names[1]))
    done = models("rollback", folder=tmp_path)
    assert done.stderr == f"skipped {names[1]}: it is missing\n"
    assert registry.current() == names[0]


def test_verify_loads_the_model_and_lists_every_problem(registry: ModelRegistry, tmp_path: Path) -> None:
    """Files that are complete one by one can still be a network that this version cannot load."""
    whole, strange, short = (register(registry) for _ in range(3))
    assert models("verify", whole, folder=tmp_path).stdout == f"{whole}: complete\n"
    description = registry.path(strange) / "model.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"format": 999}), encoding="utf-8")
    (registry.path(strange) / "evil.pkl").write_bytes(b"x")
    error = models("verify", strange, folder=tmp_path, status=1).stderr
    assert f"{strange}: evil.pkl: does not belong to a model" in error
    assert "model format 999, this forewarn reads" in error
    assert error.count("\n") == 2
    weights = registry.path(short) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    error = models("verify", short, folder=tmp_path, status=1).stderr
    assert error.startswith(f"{short}: model.safetensors: cannot be read: ")
    assert error.count("\n") == 1


def test_the_models_of_a_configuration_are_found(tmp_path: Path) -> None:
    """Without ``--models`` the folder of the configuration counts; a named file that does not exist is an error."""
    assert "mine.yaml" in models("list", folder=tmp_path, status=2, config=True).stderr
    document = yaml.safe_load(default_text()) | {"data_dir": "here"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    name = register(ModelRegistry(tmp_path / "here" / "models"))
    listed = json.loads(models("list", "--json", folder=tmp_path, config=True).stdout)
    assert [row["id"] for row in listed["models"]] == [name]


def test_only_verify_imports_torch(registry: ModelRegistry, tmp_path: Path) -> None:
    """Commands that only read records start fast."""
    name = register(registry)
    for command in (("list",), ("show", name), ("promote", name)):
        imported = imports("models", *command, "--models", "models", folder=tmp_path)
        assert "daemon.models.registry" in imported
        assert not {"torch", "pyarrow", "pandas"} & imported


def test_a_training_that_the_gate_rejects_ends_with_3_and_the_reason(registry: ModelRegistry, tmp_path: Path) -> None:
    """The serving model stays; the rejected model is stored and can be inspected."""
    serving = register(registry, load_network(BASE_FOLDER)[0], tuple(yaml.safe_load(default_text())["metrics"]))
    registry.promote(serving, "by a test")
    none = [part for kind in ("conductor-mgmt", "data-ingest", "risk-analytics") for part in (f"--num-{kind}", "0")]
    few = [part for kind in ("ml-compute", "database", "web-api", "generic") for part in (f"--num-{kind}", "1")]
    forewarn("simulate", "--hours", "168", *none, *few, "--seed", "3", "--out", "fleet", folder=tmp_path)
    line = ("train", "--level", "demo", "--from", "scratch", "--data", "fleet", "--models", "models")
    done = forewarn(*line, folder=tmp_path, status=3)
    assert "Rejected: stored but not serving." in done.stdout
    # without figures, because a demo model must not claim any
    assert f"  It does not beat the serving model {serving}.\n" in done.stdout
    assert registry.current() == serving
    (made,) = set(registry.ids()) - {serving}
    assert "gate decision: rejected\n" in models("show", made, folder=tmp_path).stdout
    assert models("verify", made, folder=tmp_path).stdout == f"{made}: complete\n"
