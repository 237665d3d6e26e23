from zoneinfo import ZoneInfo

import pytest

from daemon.core.errors import ConfigError
from daemon.core.series import as_text, parse_time
from daemon.system.scheduler import next_times

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("30 3 * * sun", "2026-01-08T00:00:00Z", "2026-01-11T02:30:00Z"),
        ("30 3 * * 0", "2026-01-08T00:00:00Z", "2026-01-11T02:30:00Z"),
        ("30 3 * * 7", "2026-01-11T02:30:00Z", "2026-01-18T02:30:00Z"),
        ("0 0 * * 1-5", "2026-01-10T00:00:00Z", "2026-01-11T23:00:00Z"),
        ("*/20 * * * *", "2026-01-10T00:00:00Z", "2026-01-10T00:20:00Z"),
        ("30 3 * * *", "2026-07-01T02:00:00Z", "2026-07-02T01:30:00Z"),
    ],
)
def test_the_next_time_is_that_of_cron_in_the_zone(expression: str, after: str, expected: str) -> None:
    """Sunday is 0 and 7, the times are civil ones, and the time asked from is not the next one."""
    found = next_times(expression, BERLIN)(parse_time(after))
    assert found is not None
    assert as_text(int(found)) == expected


@pytest.mark.parametrize("expression", ["30 3 * *", "61 3 * * *", "at night", "30 3 * * someday"])
def test_what_is_no_cron_expression_is_named(expression: str) -> None:
    """The error names the key, the value and how to write it."""
    with pytest.raises(ConfigError, match=r"training\.schedule: .*as in 30 3"):
        next_times(expression, BERLIN)
