import numpy as np

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_DAY
from daemon.domain.series import Float32
from daemon.simulation.traits import Rhythm
from daemon.simulation.workdays import Workdays

QUIETEST = 0.06
# Day of the week in days since Monday 00:00 and how much of a weekend it is: people stop early on Friday evening.
WEEK_DAYS = (0.0, 0.25, 4.7, 5.1, 6.8, 7.0)
WEEKEND = (0.3, 0.0, 0.0, 1.0, 1.0, 0.3)
# The same for a holiday, in days since it began: a weekend of one day.
HOLIDAY_DAYS = (-0.3, 0.1, 0.8, 1.0, 1.25)
HOLIDAY = (0.0, 1.0, 1.0, 0.3, 0.0)


def expected_traffic(rhythm: Rhythm[Float32], day: int, workdays: Workdays) -> Float32:
    """Return the traffic to expect at every step of ``day``, ``(servers, steps)``, about 1 on a mean weekday."""
    hours = (np.arange(STEPS_PER_DAY, dtype=np.float32) - np.float32(0.5)) * np.float32(STEP_SECONDS / 3600)
    angle = (hours[None, :] - rhythm.peak_hour) * np.float32(2 * np.pi / 24)
    # The second harmonic lags, so that a morning rises faster than an evening falls.
    wave = np.cos(angle) + rhythm.second_harmonic * np.cos(2 * angle - np.float32(0.9))
    level = np.maximum(1 + rhythm.amplitude * wave, np.float32(QUIETEST))
    weekend = np.interp((day + 3) % 7 + hours / 24, WEEK_DAYS, WEEKEND).astype(np.float32)
    for holiday in filter(workdays.is_holiday, (day - 1, day, day + 1)):
        rest = np.interp(day - holiday + hours / 24, HOLIDAY_DAYS, HOLIDAY).astype(np.float32)
        weekend = np.maximum(weekend, rest)
    traffic: Float32 = level * (1 - weekend * (1 - rhythm.weekend_ratio))
    return traffic
