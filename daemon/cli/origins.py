"""Times to forecast from."""

import json
import re
from pathlib import Path

from daemon.domain.errors import ConfigError
from daemon.domain.grid import STEP_SECONDS, as_text, ceil_to_grid, floor_to_grid, parse_time
from daemon.domain.series import Panel

_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def read_origins(file: Path | None, first: str | None, every: str, panel: Panel) -> list[int]:
    """Return the origins (epoch seconds) of a JSON file, or those from a first one on, that lie in ``panel``.

    Raises:
        ConfigError: the options or the file cannot be used, or no origin lies inside the data.
    """
    if (file is None) == (first is None):
        raise ConfigError(["give either --origins FILE or --from TIME"])
    times = _from_file(file) if file is not None else _regular(str(first), every, panel)
    inside = sorted({time for time in times if panel.start < time < panel.end})
    if not inside:
        raise ConfigError([f"no origin lies inside the data, {as_text(panel.start)} to {as_text(panel.end)}"])
    return inside


def _from_file(path: Path) -> list[int]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["origins"]
        return [floor_to_grid(parse_time(str(text))) for text in listed]
    except OSError as error:
        raise ConfigError([f"--origins {path}: cannot be read: {error.strerror}"]) from error
    except (ValueError, KeyError, TypeError) as error:
        form = '{"origins": ["2026-03-01T12:00:00Z", …]}'
        raise ConfigError([f"--origins {path}: expected {form}: {error}"]) from error


def _regular(first: str, every: str, panel: Panel) -> list[int]:
    match = re.fullmatch(r"(\d+)([mhd])", every)
    step = int(match[1]) * _UNITS[match[2]] if match else 0
    if step < STEP_SECONDS or step % STEP_SECONDS:
        raise ConfigError([f"--every {every}: write a multiple of 5 minutes, as in 30m, 4h or 1d"])
    try:
        begin = ceil_to_grid(parse_time(first))
    except ValueError as error:
        raise ConfigError([f"--from: {error}"]) from error
    return list(range(begin, panel.end, step))
