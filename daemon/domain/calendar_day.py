from datetime import date


def is_calendar_day(text: str) -> bool:
    """Return whether ``text`` is a day that some year has, as MM-DD."""
    try:
        return f"{date.fromisoformat(f'2024-{text}'):%m-%d}" == text
    except ValueError:
        return False
