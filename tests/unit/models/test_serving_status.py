import json
from pathlib import Path

import pandas as pd
import pytest

from daemon.core.errors import BadModel, ModelNotFound
from daemon.models.claims import ServingStatus, claims_of, serving_status
from daemon.models.readiness import readiness_of
from daemon.models.registry import ModelRegistry
from tests.model_directory import register


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models")


def test_the_default_is_the_model_that_serves(registry: ModelRegistry) -> None:
    """Another one can be named, and does not serve."""
    serving, other = register(registry), register(registry, level="demo")
    registry.promote(serving, "by a test")
    assert serving_status(registry) == serving_status(registry, serving) == ServingStatus(serving, True)
    assert serving_status(registry, other) == ServingStatus(other, False)
    assert claims_of(registry, serving_status(registry)).level == "production"
    assert claims_of(registry, serving_status(registry, other)).level == "demo"


def test_without_a_model_the_claims_name_what_serves(registry: ModelRegistry) -> None:
    """The base network, or where that was demoted, the climatology; neither is ready."""
    status = serving_status(registry)
    assert status == ServingStatus(None, False)
    assert "and the base network, which serves instead," in claims_of(registry, status).must_not[0]
    registry.demote("base", "it was worse")
    status = serving_status(registry)
    assert status.demotion is not None
    assert status.demotion.why == "it was worse"
    assert "and the climatology baseline, which serves instead," in claims_of(registry, status).must_not[0]
    assert len(readiness_of(registry, status).failing) == 10


def test_a_demoted_model_does_not_serve_and_that_is_claimed(registry: ModelRegistry) -> None:
    """Until it is promoted again."""
    model = register(registry)
    registry.promote(model, "by a test")
    registry.demote(model, "it was worse")
    status = serving_status(registry)
    assert (status.model, status.serves) == (model, False)
    assert status.demotion is not None
    assert f"it was demoted at {status.demotion.at}: it was worse." in claims_of(registry, status).must_not[0]
    registry.promote(model, "by a test")
    assert serving_status(registry) == ServingStatus(model, True)


def test_a_model_that_is_not_there_or_has_no_record_is_an_error(registry: ModelRegistry) -> None:
    """The error names it."""
    with pytest.raises(ModelNotFound, match="'nope'"):
        serving_status(registry, "nope")
    model = register(registry)
    for content, problem in (
        (None, "no record of its training"),
        ("[]", "a JSON object is expected"),
        ("{", "damaged"),
    ):
        path = registry.path(model) / "training_info.json"
        path.unlink() if content is None else path.write_text(content)
        status = serving_status(registry, model)
        for made in (claims_of, readiness_of):
            with pytest.raises(BadModel, match=problem):
                made(registry, status)


def test_the_files_of_a_model_are_counted(registry: ModelRegistry) -> None:
    """Epochs with both losses, and samples with an actual value; a file that cannot be read fails its check."""
    model = register(registry)
    folder, status = registry.path(model), serving_status(registry, model)
    assert readiness_of(registry, status).failing == ()
    lines = (folder / "epochs.jsonl").read_text().splitlines()
    (folder / "epochs.jsonl").write_text(
        "\n".join([*lines[:-1], json.dumps(json.loads(lines[-1]) | {"val_loss": None})])
    )
    made = readiness_of(registry, status)
    assert made.failing == ("losses recorded",)
    assert made.checks[2].evidence == "5 of 6 epochs have a training loss and a validation loss"
    for integrity_error in (b"\xff", b"{", b"1\n", b"[" * 200_000):
        (folder / "epochs.jsonl").write_bytes(integrity_error)
        (folder / "samples.parquet").write_bytes(integrity_error)
        assert readiness_of(registry, status).failing == ("losses recorded", "samples beside actual values")
    (folder / "epochs.jsonl").unlink()
    (folder / "samples.parquet").unlink()
    made = readiness_of(registry, status)
    assert made.checks[3].evidence == "cannot be read: samples.parquet"


def test_samples_without_actual_values_are_none(registry: ModelRegistry, tmp_path: Path) -> None:
    """The column has to be there, and to hold numbers."""
    model = register(registry)
    path, status = registry.path(model) / "samples.parquet", serving_status(registry, model)
    whole = pd.read_parquet(path)
    half = whole.assign(actual=whole["actual"].where(whole["step"] > 48))
    for frame, evidence in (
        (half, f"{len(whole) // 2} of {len(whole)} sample predictions have an actual value"),
        (whole.assign(actual=float("nan")), f"0 of {len(whole)} sample predictions have an actual value"),
        (whole.drop(columns="actual"), "cannot be read: samples.parquet"),
        (whole.assign(actual="high"), "cannot be read: samples.parquet"),
    ):
        frame.to_parquet(path)
        check = readiness_of(registry, status).checks[3]
        assert (check.evidence, check.passed) == (evidence, frame is half)
