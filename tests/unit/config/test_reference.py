import re
from pathlib import Path

import yaml

from daemon.config.loading import default_text, parse_config
from daemon.config.reference import keys, render

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_document_is_what_the_schema_renders() -> None:
    """The reference cannot drift from the schema; `make docs` renders it anew."""
    assert DOCUMENT.read_text(encoding="utf-8") == render()


def test_every_key_stands_in_the_example() -> None:
    """A key that the schema knows is shown in config.yaml, set or behind a #|."""
    shown = set(re.findall(r"(\w+):", default_text()))
    assert len(list(keys())) > 50
    for path in keys():
        name = re.sub(r"(\.NAME|\[.*?\])$", "", path).rsplit(".", 1)[-1]
        assert name in shown, f"{path} is not in config.yaml"


def test_the_example_is_valid_with_every_mark_taken_away() -> None:
    """What stands behind a #| in config.yaml would be accepted."""
    text = re.sub(r"#\| ?", "", default_text())
    text = re.sub(r"\$\{\w+\}", "secret", text)
    sources = {source["type"] for source in yaml.safe_load(text)["sources"]}
    assert sources == {"simulator", "prometheus", "replay", "push"}
    config = parse_config(text, "config.yaml", Path("/"))
    assert config.clock.start == "2026-01-01T00:00:00Z"
