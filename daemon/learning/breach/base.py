"""How likely breaches are by what comes with the package."""

from pathlib import Path

from daemon.learning.breach.model import BreachModel
from daemon.learning.calibration_file import read_breach_model

BASE_FOLDER = Path(__file__).parents[1] / "base_network"


def base_breach_model() -> BreachModel:
    """Return the model of breaches that was learned with the base network, for any metric.

    Raises:
        BadModel: its file is missing or damaged.
    """
    return read_breach_model(BASE_FOLDER)
