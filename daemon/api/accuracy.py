"""What served forecasts came to, over HTTP."""

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
    """What the forecasts of one forecaster (a model's id, ``base`` or ``baseline``), metric and horizon came to.

    ``skill`` is pinball loss relative to seasonal naive's, ``against_baseline`` relative to the climatology's; below 1
    is better. ``coverage`` is the share of the values inside each interval.
    """

    forecaster: str
    metric: str
    horizon: str
    values: int
    coverage: dict[str, float]
    skill: float | None
    against_baseline: float | None


class Judged(BaseModel):
    """What serves, by its last hours: ``worse_than_baseline`` and ``out_of_bounds`` say why, or are empty."""

    forecaster: str
    hours: float
    values: int
    coverage: dict[str, float]
    skill: float | None
    against_baseline: float | None
    worse_than_baseline: str
    out_of_bounds: str


class AccuracyDocument(BaseModel):
    """Served forecasts against what then happened, of the origins from ``since`` to ``until``."""

    since: str | None
    until: str | None
    waiting: int
    withdrawn: str
    judged: Judged | None
    figures: list[LiveFigures]


def add_accuracy(app: FastAPI, snapshots: SnapshotCache) -> None:
    """Add the route."""

    @app.get("/api/v1/accuracy", responses=refusals())
    def accuracy() -> AccuracyDocument:
        """Return what the forecasts that were served came to, by forecaster, metric and horizon."""
        snapshot = snapshots.newest()
        scores = snapshot.verification.scores
        return AccuracyDocument(
            since=as_text(scores[0].origin) if scores else None,
            until=as_text(scores[-1].origin) if scores else None,
            waiting=snapshot.verification.pending,
            withdrawn=demotion_text(snapshot.demotion),
            judged=_judged(snapshot),
            figures=_figures(scores),
        )


def _judged(snapshot: Snapshot) -> Judged | None:
    verdict = snapshot.verification.assessment
    if verdict is None:
        return None
    tally = verdict.tally
    return Judged(
        forecaster=verdict.forecaster,
        hours=verdict.seconds / 3600,
        values=tally.count,
        coverage=tally.coverage,
        skill=tally.skill,
        against_baseline=tally.against_baseline,
        worse_than_baseline=verdict.worse_than_baseline,
        out_of_bounds=verdict.out_of_bounds,
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
