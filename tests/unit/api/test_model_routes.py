import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from daemon.api.models import add_models
from daemon.models.gate import decide
from daemon.models.registry import ModelRegistry
from tests.model_directory import register
from tests.training_records import INFO


class Rig:
    """The route over a folder of models."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.registry = folder, ModelRegistry(folder)
        folder.mkdir()
        app = FastAPI()
        add_models(app, self.registry)
        self._client = TestClient(app, raise_server_exceptions=False)

    def get(self, **parameters: int) -> Any:
        answer = self._client.get("/api/v1/models", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def one(self) -> Any:
        (item,) = self.get()["items"]
        return item


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "models")


def test_a_model_is_shown_with_what_is_on_record(rig: Rig) -> None:
    """Level, time, gate decision, reasons and figures are those of its training, and it serves."""
    model = register(rig.registry)
    rig.registry.promote(model, "the gate let it pass")
    document = rig.get()
    assert document["items"] == [
        {
            "id": model,
            "serves": True,
            "problem": "",
            "level": "production",
            "trained_at": "2026-02-01T03:04:05Z",
            "epochs": 6,
            "verdict": "promoted",
            "reasons": INFO["verdict"]["reasons"],
            "figures": {
                "train_loss": 0.101,
                "validation_loss": 0.121,
                "quantile_loss": 0.155,
                "skill": {"cpu": 0.61, "disk": 0.83, "mem": 0.72},
            },
        }
    ]
    assert (document["current"], document["problems"]) == (model, [])
    (promotion,) = document["promotions"]["items"]
    assert promotion.pop("at").endswith("+00:00")
    expected = {"model": model, "previous": None, "why": "the gate let it pass", "back": False, "withdrawn": False}
    assert promotion == expected


def test_no_model_yet(rig: Rig) -> None:
    """Before the first training there is nothing, and no problem."""
    rig.folder.rmdir()
    empty = {"total": 0, "offset": 0, "items": []}
    assert rig.get() == {**empty, "current": None, "promotions": empty, "problems": []}


def test_models_and_promotions_are_paged_newest_first(rig: Rig) -> None:
    """Each list has its own offset and its length."""
    models = sorted(register(rig.registry) for _ in range(3))
    for model in [*models, models[0]]:
        rig.registry.promote(model, f"{model} by hand")
    first, second = rig.get(limit=2), rig.get(limit=2, offset=2, promotions_offset=1)
    assert [item["id"] for item in first["items"]] == [models[2], models[1]]
    assert [item["id"] for item in second["items"]] == [models[0]]
    assert [first["total"], first["promotions"]["total"], second["promotions"]["offset"]] == [3, 4, 1]
    assert [item["model"] for item in first["promotions"]["items"]] == [models[0], models[2]]
    assert [item["model"] for item in second["promotions"]["items"]] == [models[2], models[1]]


def test_a_demo_model_shows_no_figure_of_accuracy(rig: Rig) -> None:
    """At level demo there are the training loss, and the reasons of the gate without their figures."""
    decision = decide(0.712, "other", 0.834, 0.801)
    register(rig.registry, level="demo", verdict=decision.model_dump(mode="json", by_alias=True))
    item = rig.one()
    assert item["figures"] == {"train_loss": 0.101, "validation_loss": None, "quantile_loss": None, "skill": {}}
    assert item["reasons"][0] == "It beats seasonal naive."
    assert not re.findall(r"\d[.,]\d|\d%", json.dumps(item["reasons"]))


def test_a_validation_model_shows_its_validation_loss_alone(rig: Rig) -> None:
    """Its span chose the epoch, so skill and quantile loss may not be claimed."""
    register(rig.registry, level="validation", held_out={"span": "validation"})
    figures = rig.one()["figures"]
    assert figures == {"train_loss": 0.101, "validation_loss": 0.121, "quantile_loss": None, "skill": {}}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("training_info.json", b"{"),
        ("training_info.json", b'{"level": "best"}'),
        ("training_info.json", b"[" * 200_000),
        ("training_info.json", b"\xff\xfe"),
        ("epochs.jsonl", b""),
        ("model.safetensors", b"x"),
        ("calibration.json", b"[" * 200_000),
        ("model.json", None),
        ("training_info.json", None),
    ],
)
def test_a_damaged_model_is_shown_with_its_problem(rig: Rig, file: str, content: bytes | None) -> None:
    """The answer has the problem of one model, and shows the others completely."""
    damaged, whole = register(rig.registry), register(rig.registry)
    path = rig.registry.path(damaged) / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    found = {item["id"]: item for item in rig.get()["items"]}
    assert found[damaged]["problem"]
    assert (found[damaged]["level"], found[damaged]["figures"]) == (None, None)
    assert (found[whole]["problem"], found[whole]["level"]) == ("", "production")


def test_what_json_cannot_carry_is_left_out(rig: Rig) -> None:
    """Losses that are not numbers, halves of surrogate pairs and undecodable names are no error of the service."""
    register(
        rig.registry,
        quantile_loss=float("inf"),
        skill_vs_seasonal_naive={"cpu": float("nan"), "m\udc80": 0.5},
        verdict={"promoted": True, "reasons": ["half \ud800"]},
    )
    item = rig.one()
    assert item["figures"] == {
        "train_loss": 0.101,
        "validation_loss": 0.121,
        "quantile_loss": None,
        "skill": {"m?": 0.5},
    }
    assert (item["verdict"], item["reasons"]) == ("promoted", ["half ?"])
    (rig.folder / os.fsdecode(b"\xff")).mkdir()
    assert {item["id"] for item in rig.get()["items"]} >= {"?"}


@pytest.mark.parametrize(
    "journal",
    [b"{\n", b"{}\n", b"\xff\n", b"[" * 200_000, b'{"at": 1, "model": 2, "previous": 3, "why": [], "back": 0}'],
)
def test_a_damaged_journal_is_shown_with_its_problem(rig: Rig, journal: bytes) -> None:
    """The models are shown all the same."""
    register(rig.registry)
    (rig.folder / "promotions.jsonl").write_bytes(journal)
    document = rig.get()
    assert document["total"] == 1
    assert document["promotions"] == {"total": 0, "offset": 0, "items": []}
    assert "promotions.jsonl" in document["problems"][0]


def test_a_damaged_current_is_shown_with_its_problem(rig: Rig) -> None:
    """A file that cannot be read, or that names a model that is gone, leaves the list as it is."""
    register(rig.registry)
    (rig.folder / "current").write_bytes(b"\xff\xfe")
    document = rig.get()
    assert (document["total"], document["current"]) == (1, None)
    assert "current: cannot be read" in document["problems"][0]
    (rig.folder / "current").write_text("gone\n")
    document = rig.get()
    assert (document["items"][0]["serves"], document["current"]) == (False, "gone")
    assert document["problems"] == ["gone is to serve and is missing; go back with forewarn models rollback"]


def test_models_that_cannot_be_listed_are_a_problem(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be read is no error of the service."""

    def refuse(_: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert rig.get()["problems"] == ["the models cannot be listed: Permission denied"]


def test_a_rollback_is_marked(rig: Rig) -> None:
    """The journal has the model that serves again, and the one before it."""
    for model in sorted(register(rig.registry) for _ in range(2)):
        rig.registry.promote(model, "by hand")
    rig.registry.rollback()
    newest = rig.get()["promotions"]["items"][0]
    assert newest == asdict(rig.registry.promotions()[-1])
    assert newest["back"]
