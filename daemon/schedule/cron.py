"""Cron expressions: when the next time is."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from daemon.domain.errors import ConfigError

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


def next_times(expression: str, zone: ZoneInfo) -> Callable[[float], float | None]:
    """Return what gives the first time after one, in epoch seconds; None where there is none any more.

    Args:
        expression: minute, hour, day of month, month and day of week (0 and 7 are Sunday).
        zone: whose civil time they are in.

    Raises:
        ConfigError: it is no cron expression.
    """
    fields = expression.split()
    try:
        # apscheduler counts the days of the week from Monday, cron from Sunday
        fields[4:] = [re.sub(r"(?<![/\d])[0-7](?!\d)", lambda day: _DAYS[int(day[0])], field) for field in fields[4:]]
        trigger = CronTrigger.from_crontab(" ".join(fields), timezone=zone)
    except ValueError as error:
        fix = "write minute, hour, day, month and weekday, as in 30 3 * * sun"
        raise ConfigError([f"training.schedule: {expression!r}: {error}; {fix}"]) from error

    def after(at: float) -> float | None:
        # a trigger's own next time may be the present moment
        fire = trigger.get_next_fire_time(None, datetime.fromtimestamp(at + 1, UTC))
        return None if fire is None else float(fire.timestamp())

    return after
