"""Which days people work, and which are the turn of a month."""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

EPOCH = date(1970, 1, 1)
SATURDAY = 5


@dataclass(frozen=True)
class Workdays:
    """A calendar of free days; days are numbered from 1970-01-01.

    Attributes:
        holidays: the days of a year, as MM-DD, on which people rest whatever day of the week it is.
    """

    holidays: frozenset[str]

    @classmethod
    def of(cls, holidays: Iterable[str]) -> "Workdays":
        """Return the calendar with these holidays."""
        return cls(frozenset(holidays))

    def is_holiday(self, day: int) -> bool:
        """Return whether that day is a public holiday."""
        return f"{_date(day):%m-%d}" in self.holidays

    def is_free(self, day: int) -> bool:
        """Return whether that day is a Saturday, a Sunday or a public holiday."""
        return _date(day).weekday() >= SATURDAY or self.is_holiday(day)

    def turns_month(self, day: int) -> bool:
        """Return whether that day is the first of a month or the last working day of one."""
        when = _date(day)
        left = monthrange(when.year, when.month)[1] - when.day
        return when.day == 1 or (not self.is_free(day) and all(map(self.is_free, range(day + 1, day + left + 1))))


def _date(day: int) -> date:
    return EPOCH + timedelta(days=day)
