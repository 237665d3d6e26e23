"""Sample predictions beside what then happened."""

import numpy as np
import pandas as pd

from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS
from daemon.domain.ports import Forecaster
from daemon.domain.quantiles import QUANTILE_COLUMNS
from daemon.domain.series import Panel

_MOST_SERIES = 64


def sample_forecasts(forecaster: Forecaster, panel: Panel, origin: int) -> pd.DataFrame:
    """Return the forecast of up to 64 series from ``origin`` beside the actual values, a row per series and step."""
    rows = np.unique(np.linspace(0, len(panel.keys) - 1, min(_MOST_SERIES, len(panel.keys)), dtype=int))
    chosen = panel.select(rows)
    forecast = forecaster.forecast(chosen, origin)
    after = chosen.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS)
    row_of = {key: row for row, key in enumerate(chosen.keys)}
    actual = after.values[[row_of[key] for key in forecast.keys]]
    frame = pd.DataFrame(
        {
            "origin": pd.Timestamp(origin, unit="s", tz="UTC"),
            "server": np.repeat([key.server for key in forecast.keys], HORIZON_STEPS),
            "metric": np.repeat([key.metric for key in forecast.keys], HORIZON_STEPS),
            "step": np.tile(np.arange(1, HORIZON_STEPS + 1, dtype=np.int16), len(forecast.keys)),
            "actual": actual.ravel(),
        }
    )
    for column, name in enumerate(QUANTILE_COLUMNS):
        frame[name] = forecast.paths[:, :, column].ravel()
    return frame
