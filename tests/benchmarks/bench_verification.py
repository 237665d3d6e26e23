"""Live assessment and drift of a sound forecaster on real servers: both must start no demotion and no training."""

import json
import os
import time
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

import numpy as np

from daemon.core.series import STEP_SECONDS, Panel, parse_time
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.verification import (
    DUE_SECONDS,
    KEEP_EVERY_SECONDS,
    LiveScore,
    PendingVerification,
    live_assessment,
    live_scores,
)
from daemon.ingest.metrics_file import read_metrics_file
from daemon.network.artifact import base_forecaster
from daemon.pipeline.triggers import drifted_share

PACKS = ("bitbrains", "jumpstarter", "smd")
DAY_SECONDS, WINDOW_SECONDS = 86_400, 28 * 86_400
DAYS = 7


def main() -> None:
    """Print the figures of each recording."""
    folder = os.environ.get("FOREWARN_REAL_DATA")
    if not folder:
        print("verification: not measured; FOREWARN_REAL_DATA names no folder of real metrics")
        return
    for pack in PACKS:
        _pack(Path(folder) / pack)


def _pack(folder: Path) -> None:
    trained_until = parse_time(json.loads((folder / "pack.json").read_text(encoding="utf-8"))["train_end"])
    panel = read_metrics_file(folder / "data.parquet")
    origins = range(panel.end - DUE_SECONDS - DAYS * DAY_SECONDS, panel.end - DUE_SECONDS, KEEP_EVERY_SECONDS)
    scores: list[LiveScore] = []
    base, naive, climatology = base_forecaster({}, ZoneInfo("UTC")), SeasonalNaive({}), Climatology({})
    seconds = []
    for origin in origins:
        known = panel.between(origin - WINDOW_SECONDS, origin + DUE_SECONDS)
        pending = PendingVerification.of(base.forecast(known, origin))
        began = time.perf_counter()
        scores += live_scores(pending, known, naive.forecast(known, origin), climatology.forecast(known, origin))
        seconds.append(time.perf_counter() - began)
    against, skills = [], []
    for origin in origins:
        assessment = live_assessment(scores, "base", origin + DUE_SECONDS, DAY_SECONDS)
        if assessment is not None and assessment.tally.against_baseline and assessment.tally.skill:
            against.append(assessment.tally.against_baseline)
            skills.append(assessment.tally.skill)
    _print(folder.name, len(panel.keys), against, skills, seconds)
    shares = [share for at in range(trained_until, panel.end, DAY_SECONDS) if (share := _drift(panel, at)) is not None]
    print(f"  series with drift, median day (worst day): {100 * median(shares):.0f} % ({100 * max(shares):.0f} %)")


def _drift(panel: Panel, at: int) -> float | None:
    if not np.isfinite(panel.between(at - DAY_SECONDS + STEP_SECONDS, at).values).any():
        return None
    return drifted_share(panel, at - DAY_SECONDS, at)


def _print(name: str, series: int, against: list[float], skills: list[float], seconds: list[float]) -> None:
    worse = sum(ratio > 1 for ratio in against)
    print(
        f"{name}: {series} series, the base network over {DAYS} days, scored each hour over the last 24 h\n"
        f"  loss relative to the climatology's, lowest to highest (median): "
        f"{min(against):.3f}–{max(against):.3f} ({median(against):.3f}); "
        f"relative to seasonal naive's, highest: {max(skills):.3f}\n"
        f"  hours with a demotion: {worse} of {len(against)}\n"
        f"  scoring one pending verification, all series: {median(seconds):.2f} s"
    )


if __name__ == "__main__":
    main()
