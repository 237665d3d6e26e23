"""A real browser that opens a page without any network."""

import json
import re
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from tests.servers.processes import require_programs

_CONSOLE = re.compile(r"INFO:CONSOLE[^\]]*\] (.*)")
_NO_ORIGIN = "not an origin"


@dataclass(frozen=True)
class Seen:
    """A page after its scripts have run.

    Attributes:
        dom: its elements.
        console: lines of the console; scripts of the page and the browser write errors there.
        requests: addresses that the page requested over a network, without those of the browser itself.
    """

    dom: str
    console: tuple[str, ...]
    requests: tuple[str, ...]

    @property
    def pictures(self) -> dict[str, int]:
        """Number of vector pictures that plotly drew into each chart, by the id of the chart."""
        counter = _Pictures()
        counter.feed(self.dom)
        return counter.found


def look_at(page: Path | str, folder: Path, width: int = 1280) -> Seen:
    """Open ``page`` in headless Chromium and return what the page shows; the test is skipped where it is not installed.

    Args:
        page: a file, or the address of a page of a server on 127.0.0.1, the only one that can be reached.
        folder: for what the browser writes.
        width: of the window.
    """
    require_programs("chromium")
    log = folder / "net.json"
    command = [
        "chromium",
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},1000",
        "--host-resolver-rules=MAP * ~NOTFOUND" + (", EXCLUDE 127.0.0.1" if isinstance(page, str) else ""),
        "--no-proxy-server",
        "--virtual-time-budget=20000",
        "--enable-logging=stderr",
        f"--log-net-log={log}",
        "--dump-dom",
        page if isinstance(page, str) else page.absolute().as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return Seen(done.stdout, tuple(_CONSOLE.findall(done.stderr)), _requests(log))


def _requests(log: Path) -> tuple[str, ...]:
    events = [event.get("params") for event in json.loads(log.read_text())["events"]]
    started = [each for each in events if isinstance(each, dict) and "initiator" in each and "url" in each]
    return tuple(
        each["url"] for each in started if each["initiator"] != _NO_ORIGIN and not each["url"].startswith("file:")
    )


class _Pictures(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, int] = {}
        self._chart = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "chart" in (given.get("class") or "").split():
            self._chart = str(given["id"])
            self.found[self._chart] = 0
        if tag == "svg" and given.get("class") == "main-svg":
            self.found[self._chart] += 1
