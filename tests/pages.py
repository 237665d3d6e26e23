"""Reading an HTML page as a browser without scripts would."""

import json
from collections import Counter
from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """The elements, the text and the charts of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: list[str] = []
        self.charts: list[dict[str, Any]] = []
        self._open: list[str] = []
        self._texts: list[str] = []
        self._is_data = False
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        """All text but that of scripts and styles."""
        return "\n".join(self._texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        self._open.append(tag)
        self._is_data = tag == "script" and ("id", "charts") in attrs
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if self._is_data:
            self.charts = json.loads(data)
            self._is_data = False
        elif inside not in {"script", "style"}:
            self._texts.append(data)
        if inside in {"td", "th"}:
            self.cells[-1] += data
