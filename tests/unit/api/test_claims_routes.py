import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from daemon.api.models import add_claims
from daemon.models.claims import claims, serving_status
from daemon.models.readiness import readiness_of
from daemon.models.registry import ModelRegistry
from tests.model_directory import register
from tests.training_records import training_info

PATHS = ("/api/v1/claims", "/api/v1/readiness")


class Rig:
    """The routes over a folder of models."""

    def __init__(self, folder: Path) -> None:
        self.registry = ModelRegistry(folder)
        app = FastAPI()
        add_claims(app, self.registry)
        self.client = TestClient(app, raise_server_exceptions=False)

    def get(self, path: str, **parameters: str) -> Any:
        answer = self.client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "models")


def test_the_claims_are_those_of_the_model_that_serves(rig: Rig) -> None:
    """Every claim with its number and its source, and what must not be claimed, as in the command."""
    model = register(rig.registry)
    rig.registry.promote(model, "by a test")
    made = claims(training_info())
    assert made.may
    assert rig.get("/api/v1/claims") == {
        "model": model,
        "serves": True,
        "withdrawn": "",
        "level": "production",
        "may": [asdict(claim) for claim in made.may],
        "must_not": list(made.must_not),
    }


def test_the_checklist_is_that_of_the_model_that_serves(rig: Rig) -> None:
    """Every line with its evidence; one that fails makes it not ready."""
    model = register(rig.registry)
    rig.registry.promote(model, "by a test")
    made = readiness_of(rig.registry, serving_status(rig.registry))
    expected = {"model": model, "serves": True, "withdrawn": "", "ready": True, "level": "production"}
    assert rig.get("/api/v1/readiness") == {**expected, "checks": [asdict(check) for check in made.checks]}
    other = register(rig.registry, data_hours=100)
    document = rig.get("/api/v1/readiness", model=other)
    assert (document["model"], document["serves"], document["ready"]) == (other, False, False)
    assert [check["name"] for check in document["checks"] if not check["passed"]] == ["30 days of history or more"]


def test_without_a_model_nothing_may_be_claimed_and_nothing_is_ready(rig: Rig) -> None:
    """That is an answer, and no failure."""
    claimed, checked = (rig.get(path) for path in PATHS)
    assert (claimed["model"], claimed["level"], claimed["may"]) == (None, None, [])
    assert "no model serves" in claimed["must_not"][0]
    assert (checked["model"], checked["ready"]) == (None, False)
    assert not any(check["passed"] for check in checked["checks"])


@pytest.mark.parametrize("path", PATHS)
def test_a_model_that_is_not_there_is_404_and_one_that_cannot_be_read_503(path: str, rig: Rig) -> None:
    """What was asked for is named; a damaged record is nothing that the client could put right."""
    assert rig.client.get(path, params={"model": "nope"}).status_code == 404
    assert rig.client.get(path, params={"model": "../models"}).status_code == 404
    model = register(rig.registry)
    rig.registry.promote(model, "by a test")
    (rig.registry.path(model) / "training_info.json").write_text("{")
    answer = rig.client.get(path)
    assert answer.status_code == 503
    assert f"{model}: the record of its training is damaged" in answer.json()["detail"]


@pytest.mark.parametrize("path", PATHS)
def test_models_that_cannot_be_listed_are_503(path: str, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be read is no error of the service."""

    def refuse(_: ModelRegistry) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ModelRegistry, "current", refuse)
    answer = rig.client.get(path)
    assert (answer.status_code, answer.json()["detail"]) == (503, "the models cannot be read: Permission denied")


def test_what_json_cannot_carry_breaks_no_answer(rig: Rig) -> None:
    """Figures that are no numbers are not claimed, and halves of surrogate pairs are replaced."""
    model = register(rig.registry, quantile_loss=float("nan"), skill_vs_seasonal_naive={"m\udc80": 0.5})
    claimed = rig.get("/api/v1/claims", model=model)
    assert "m?: 0.500 times the pinball loss of repeating yesterday." in [claim["sentence"] for claim in claimed["may"]]
    assert "quantile loss of" not in json.dumps(claimed)
    odd = register(rig.registry, by_profile={"p\udc80": {"skill": 0.5}})
    assert "p? 0.500" in json.dumps(rig.get("/api/v1/readiness", model=odd))
