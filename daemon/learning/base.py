"""The base network that comes with the package: it serves before a model exists, and every level starts from it.

`forewarn pretrain` made it; `base_network/pretraining.json` says from what.
"""

from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from daemon.domain.forecast import ForecastSource
from daemon.domain.metric import Metric
from daemon.learning.artifact import load_forecaster, load_network
from daemon.learning.breach.base import BASE_FOLDER
from daemon.learning.forecaster import NetworkForecaster


def base_forecaster(metrics: Mapping[str, Metric], zone: ZoneInfo, folder: Path = BASE_FOLDER) -> NetworkForecaster:
    """Return the network in ``folder`` as a forecaster of any metric, whose forecasts say ``base``.

    Raises:
        BadModel: a file is missing, damaged or of another format.
    """
    network, _ = load_network(folder)
    return NetworkForecaster(network, None, metrics, zone, "", ForecastSource.BASE)


def forecaster_of(folder: Path | None, metrics: Mapping[str, Metric], zone: ZoneInfo) -> NetworkForecaster:
    """Return the forecaster of a model directory; the base network's where there is none.

    Raises:
        BadModel: a file is missing, damaged or of another format.
    """
    return base_forecaster(metrics, zone) if folder is None else load_forecaster(folder, metrics)
