import re
from pathlib import Path

import yaml

from daemon.config.loading import default_text, parse_config
from daemon.config.reference import keys, render
from daemon.config.schema import Config

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_document_is_what_the_schema_renders() -> None:
    """The reference cannot drift from the schema; `make docs` renders it."""
    assert DOCUMENT.read_text(encoding="utf-8") == render()


def test_every_key_stands_in_the_example() -> None:
    """Every key of the schema is in config.yaml, set or behind a #|."""
    shown = set(re.findall(r"(\w+):", default_text()))
    assert len(list(keys())) > 50
    for path in keys():
        name = re.sub(r"(\.NAME|\[.*?\])$", "", path).rsplit(".", 1)[-1]
        assert name in shown, f"{path} is not in config.yaml"


def test_keys_that_need_a_restart_are_marked() -> None:
    """A key is marked where it is, and so is every key of a marked section; no other key is."""
    marked = re.findall(r"^\| `([^`]+)` .*\*\*Needs a restart\.\*\* \|$", render(), re.MULTILINE)
    assert marked == [
        "data_dir",
        "store.url",
        "clock",
        "clock.start",
        "clock.speed",
        "http.listen",
        "http.bearer_token_file",
        "http.web_config_file",
        "http.requests_per_minute",
        "http.failed_logins_per_minute",
        "http.allow_unauthenticated",
    ]
    assert set(Config.restart_keys()) == set(marked) - {"clock.start", "clock.speed"}


def test_the_example_is_valid_with_every_mark_taken_away() -> None:
    """The lines behind a #| in config.yaml are valid too."""
    text = re.sub(r"#\| ?", "", default_text())
    text = re.sub(r"\$\{\w+\}", "secret", text)
    sources = {source["type"] for source in yaml.safe_load(text)["sources"]}
    assert sources == {"simulator", "prometheus", "replay", "push"}
    config = parse_config(text, "config.yaml", Path("/"))
    assert config.clock.start == "2026-01-01T00:00:00Z"
