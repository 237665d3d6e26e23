"""``forewarn claims`` and ``forewarn readiness`` as a user types them, and over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.models.claims import claims
from daemon.models.registry import ModelRegistry
from tests.model_directory import register
from tests.servers.forewarn import RunningForewarn, forewarn, imports, write_config
from tests.training_records import training_info


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models")


def serving(registry: ModelRegistry, **changes: Any) -> str:
    model = register(registry, **changes)
    registry.promote(model, "by a test")
    return model


def test_claims_gives_each_sentence_with_its_number_and_its_source(registry: ModelRegistry, tmp_path: Path) -> None:
    """The command prints the claims of the serving or of a named model, as text and as JSON."""
    model, demo = serving(registry), register(registry, level="demo")
    made = claims(training_info())
    shown = forewarn("claims", "--models", "models", folder=tmp_path).stdout
    assert shown.startswith(f"{model}: level production, serves\n")
    may, must_not = shown.split("\nwhat must not be claimed:\n")
    assert len(made.may) > 5
    for claim in made.may:
        assert f"  - {claim.sentence}\n      {claim.number:g} ({claim.source})\n" in may
    assert must_not == "".join(f"  - {sentence}\n" for sentence in made.must_not)
    document = json.loads(forewarn("claims", "--models", "models", "--json", folder=tmp_path).stdout)
    assert (document["model"], document["serves"], document["level"]) == (model, True, "production")
    assert document["may"][0] == {
        "sentence": made.may[0].sentence,
        "number": 0.155,
        "source": "training_info.json: quantile_loss",
    }
    shown = forewarn("claims", "--model", demo, "--models", "models", folder=tmp_path).stdout
    assert shown.startswith(f"{demo}: level demo\n")
    assert "A proof of concept" in shown
    assert not [figure for figure in ("0.155", "87.4", "0.610", "80.3", "0.121") if figure in shown]


def test_of_a_validation_model_the_validation_loss_may_be_claimed(registry: ModelRegistry, tmp_path: Path) -> None:
    """The validation loss is the only figure of a validation model in any output."""
    model = serving(registry, level="validation", held_out={"span": "validation"})
    document = json.loads(forewarn("claims", "--models", "models", "--json", folder=tmp_path).stdout)
    assert [claim["number"] for claim in document["may"]] == [0.121]
    shown = forewarn("models", "show", model, "--models", "models", folder=tmp_path).stdout
    assert "train loss 0.1010, validation loss 0.1210, quantile loss not to be claimed\n" in shown
    assert not [figure for figure in ("0.155", "0.61", "0.71") if figure in shown]
    listed = json.loads(forewarn("models", "list", "--models", "models", "--json", folder=tmp_path).stdout)
    assert listed["models"][0]["quantile_loss"] is None


def test_of_a_demo_model_no_figure_of_accuracy_is_shown(registry: ModelRegistry, tmp_path: Path) -> None:
    """The list, ``show``, their JSON and the reasons of the gate have no figure of accuracy."""
    decision = {"promoted": True, "reasons": ["It beats naive: 0.712."], "candidate_loss": 0.712}
    model = serving(registry, level="demo", verdict=decision)
    shown = forewarn("models", "show", model, "--models", "models", folder=tmp_path).stdout
    shown += forewarn("models", "list", "--models", "models", folder=tmp_path).stdout
    shown += forewarn("models", "show", model, "--models", "models", "--json", folder=tmp_path).stdout
    shown += forewarn("models", "list", "--models", "models", "--json", folder=tmp_path).stdout
    assert "It beats seasonal naive." in shown
    assert not [figure for figure in ("0.155", "0.121", "0.61", "0.83", "0.712") if figure in shown]


def test_readiness_passes_a_whole_production_model(registry: ModelRegistry, tmp_path: Path) -> None:
    """Ten checks pass, each with its evidence; the exit status is 0."""
    model = serving(registry)
    shown = forewarn("readiness", "--models", "models", folder=tmp_path)
    first, *lines = shown.stdout.splitlines()
    assert (first, shown.stderr) == (f"{model}: level production, serves", "")
    assert len(lines) == 10
    assert not [line for line in lines if not line.startswith("pass  ")]
    assert "pass  quantile loss computed: 0.155 on the held-out test, good (training_info.json: quantile_loss)" in lines
    document = json.loads(forewarn("readiness", "--models", "models", "--json", folder=tmp_path).stdout)
    assert (document["model"], document["ready"], len(document["checks"])) == (model, True, 10)


def test_readiness_names_what_fails_and_ends_with_3(registry: ModelRegistry, tmp_path: Path) -> None:
    """A validation model lacks the test and enough epochs; each failed check has a line with the fix."""
    run = {"epochs": 6, "planned_epochs": 10, "held_out": {"span": "validation"}}
    model = serving(registry, level="validation", unknown_servers=None, **run)
    done = forewarn("readiness", "--models", "models", folder=tmp_path, status=3)
    failing = ["20 epochs or more", "held-out test done", "profiles validated", "unknown servers tested"]
    assert done.stderr == f"forewarn: not ready for production: {', '.join(failing)}\n"
    lines = done.stdout.splitlines()
    failed = [number for number, line in enumerate(lines) if line.startswith("FAIL  ")]
    assert [lines[number].removeprefix("FAIL  ").split(":")[0] for number in failed] == failing
    assert all(lines[number + 1].startswith("      Train ") for number in failed)
    done = forewarn("readiness", "--model", model, "--models", "models", "--json", folder=tmp_path, status=3)
    document = json.loads(done.stdout)
    assert [check["name"] for check in document["checks"] if not check["passed"]] == failing


def test_without_a_model_nothing_may_be_said_and_nothing_is_ready(tmp_path: Path) -> None:
    """The base network serves, of which nothing was measured here."""
    shown = forewarn("claims", "--models", "models", folder=tmp_path).stdout
    assert shown.startswith("no model serves\n\nwhat may be claimed:\n  nothing\n")
    assert "the base network, which serves instead, was not measured on these servers" in shown
    done = forewarn("readiness", "--models", "models", folder=tmp_path, status=3)
    assert done.stdout.count("FAIL  ") == 10


@pytest.mark.parametrize("command", ["claims", "readiness"])
def test_a_question_without_an_answer_is_one_line(command: str, registry: ModelRegistry, tmp_path: Path) -> None:
    """A missing model or record gives exit status 1; a missing configuration gives exit status 2."""
    model = serving(registry)
    unknown = forewarn(command, "--model", "nope", "--models", "models", folder=tmp_path, status=1)
    assert unknown.stderr == f"forewarn: no model 'nope' in models; there are: {model}\n"
    (registry.path(model) / "training_info.json").unlink()
    assert (
        "it has no record of its training" in forewarn(command, "--models", "models", folder=tmp_path, status=1).stderr
    )
    assert "gone.yaml" in forewarn(command, "--config", "gone.yaml", folder=tmp_path, status=2).stderr


@pytest.mark.parametrize(
    ("command", "unneeded"), [("claims", {"torch", "pandas", "pyarrow"}), ("readiness", {"torch", "lightning"})]
)
def test_neither_imports_torch(command: str, unneeded: set[str], registry: ModelRegistry, tmp_path: Path) -> None:
    """Commands that only read records start fast; ``readiness`` reads samples with pyarrow, which imports pandas."""
    serving(registry)
    imported = imports(command, "--models", "models", folder=tmp_path)
    assert "daemon.models.claims" in imported
    assert not unneeded & imported


def test_the_service_answers_as_the_commands_do(tmp_path: Path) -> None:
    """The JSON over HTTP equals the JSON of the command for the same folder."""
    config = write_config(tmp_path, sources=[{"name": "push", "type": "push"}])
    serving(ModelRegistry(tmp_path / "data" / "models"))
    with RunningForewarn(config, ready=False) as service:
        for command in ("claims", "readiness"):
            answer = service.get(f"/api/v1/{command}")
            assert answer.status == 200
            done = forewarn(command, "--config", config, "--json", folder=tmp_path)
            assert answer.json() == json.loads(done.stdout)
