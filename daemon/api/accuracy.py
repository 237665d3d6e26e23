"""Accuracy of the served forecasts over HTTP."""

from collections.abc import Iterable

from fastapi import FastAPI
from pydantic import BaseModel

from daemon.api.answers import refusals
from daemon.api.snapshot_cache import SnapshotCache
from daemon.core.series import as_text
from daemon.forecasting.verification import LiveScore, grouped
from daemon.models.registry import demotion_text
from daemon.pipeline.cycle import Snapshot


class LiveFigures(BaseModel):
    """Accuracy of one forecaster (the id of a model, ``base`` or ``baseline``) for one metric and horizon.

    ``skill`` is the pinball loss relative to seasonal naive, ``against_baseline`` relative to the climatology; below 1
    is better. ``coverage`` is the share of the values inside each interval.
    """

    forecaster: str
    metric: str
    horizon: str
    values: int
    coverage: dict[str, float]
    skill: float | None
    against_baseline: float | None


class ServingFigures(BaseModel):
    """Accuracy of the serving forecaster in the last hours.

    ``worse_than_baseline`` has the reason for a fallback to the baseline, ``out_of_bounds`` the reason for a training;
    they are empty without one.
    """

    forecaster: str
    hours: float
    values: int
    coverage: dict[str, float]
    skill: float | None
    against_baseline: float | None
    worse_than_baseline: str
    out_of_bounds: str


class AccuracyDocument(BaseModel):
    """Accuracy of the served forecasts with origins from ``since`` to ``until``."""

    since: str | None
    until: str | None
    waiting: int
    withdrawn: str
    judged: ServingFigures | None
    figures: list[LiveFigures]


def add_accuracy(app: FastAPI, cache: SnapshotCache) -> None:
    """Add the route."""

    @app.get("/api/v1/accuracy", responses=refusals())
    def accuracy() -> AccuracyDocument:
        """Return the accuracy of the served forecasts by forecaster, metric and horizon."""
        snapshot = cache.newest()
        scores = snapshot.verification.scores
        return AccuracyDocument(
            since=as_text(scores[0].origin) if scores else None,
            until=as_text(scores[-1].origin) if scores else None,
            waiting=snapshot.verification.pending,
            withdrawn=demotion_text(snapshot.demotion),
            judged=_serving(snapshot),
            figures=_figures(scores),
        )


def _serving(snapshot: Snapshot) -> ServingFigures | None:
    serving = snapshot.verification.assessment
    if serving is None:
        return None
    tally = serving.tally
    return ServingFigures(
        forecaster=serving.forecaster,
        hours=serving.seconds / 3600,
        values=tally.count,
        coverage=tally.coverage,
        skill=tally.skill,
        against_baseline=tally.against_baseline,
        worse_than_baseline=serving.fallback_reason or "",
        out_of_bounds=serving.retraining_reason or "",
    )


def _figures(scores: Iterable[LiveScore]) -> list[LiveFigures]:
    tallies = grouped(scores, lambda score: (score.forecaster, score.metric, score.horizon))
    return [
        LiveFigures(
            forecaster=forecaster,
            metric=metric,
            horizon=horizon,
            values=tally.count,
            coverage=tally.coverage,
            skill=tally.skill,
            against_baseline=tally.against_baseline,
        )
        for (forecaster, metric, horizon), tally in sorted(tallies.items())
    ]
