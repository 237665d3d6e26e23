"""The base network that comes with the package: it serves before a model exists, and every level starts from it.

`forewarn pretrain` made it; `base/pretraining.json` says from what.
"""

from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from daemon.domain.forecast import ForecastSource
from daemon.domain.metric import Metric
from daemon.learning.artifact import load_network
from daemon.learning.forecaster import NetworkForecaster

BASE_FOLDER = Path(__file__).parent / "base"


def base_forecaster(metrics: Mapping[str, Metric], zone: ZoneInfo, folder: Path = BASE_FOLDER) -> NetworkForecaster:
    """Return the network in ``folder`` as a forecaster of any metric, whose forecasts say ``base``.

    Raises:
        BadModel: a file is missing, damaged or of another format.
    """
    network, _ = load_network(folder)
    return NetworkForecaster(network, None, metrics, zone, "", ForecastSource.BASE)
