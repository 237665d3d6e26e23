import pytest

from daemon.core.metric import is_calendar_day


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("01-01", True),
        ("12-31", True),
        ("02-29", True),
        ("02-30", False),
        ("13-01", False),
        ("1-1", False),
        ("0101", False),
        ("", False),
        ("W01-1", False),
    ],
)
def test_a_day_is_two_digits_of_month_and_day(text: str, known: bool) -> None:
    """The leap day counts; another form, or a day that is in no year, does not."""
    assert is_calendar_day(text) == known
