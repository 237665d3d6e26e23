"""Errors about a configuration contain no part of a secret."""

from pathlib import Path

import pytest

from daemon.config.loading import parse_config
from daemon.config.web import load_web_config
from daemon.core.errors import ConfigError

HIDDEN = "hush5ecret"
AROUND = "sources:\n  - name: p\n    type: prometheus\n    queries: {cpu: up}\n    url: http://x\n    "
METRICS = "\nmetrics:\n  cpu: {}\n"


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "x.yaml", Path("/etc/forewarn"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (f"bearer_token: {HIDDEN}: x", "line 6"),
        (f"bearer_token: *{HIDDEN}", "line 6"),
        (f"bearer_token: !{HIDDEN} x", "line 6"),
        (f"bearer_token: '{HIDDEN}", "not YAML"),
        (f"bearer_token: @{HIDDEN}", "line 6"),
        (f"bearer_token: [{HIDDEN}]", "sources[0].bearer_token"),
        (f"bearer_tokn: {HIDDEN}", "did you mean bearer_token?"),
        (f"bearer_token: {HIDDEN}\n    bearer_token_file: t", "alternatives"),
        (f"bearer_token: {HIDDEN}\n    timeout_seconds: long", "timeout_seconds: 'long'"),
        (f"basic_auth: {{username: u, password: {HIDDEN}, password_file: f}}", "exactly one"),
        (f"basic_auth: {{username: u, password: [{HIDDEN}]}}", "basic_auth.password"),
        (f"headers: {HIDDEN}", "headers"),
        ("bearer_token: 2024-13-45", "quote it"),
        ("? [a, b]\n    : c", "quote it"),
    ],
)
def test_an_error_in_or_near_a_secret_does_not_contain_it(line: str, where: str) -> None:
    """The error names the place."""
    text = error_of(AROUND + line + METRICS)
    assert where in text
    assert HIDDEN not in text


@pytest.mark.parametrize("key", ["basic_auth: {username: u, password: 75310}", "headers: {X-Key: 75310}"])
def test_a_secret_of_digits_that_lacks_quotes(key: str) -> None:
    """YAML reads it as a number, which is rejected without its value."""
    text = error_of(AROUND + key + METRICS)
    assert "valid string" in text
    assert "75310" not in text


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{HIDDEN}@host:port",
        f"http://user:{HIDDEN[:4]}/{HIDDEN[4:]}@host:9090",
        f"user:{HIDDEN}@host:9090",
        f"htp://host/?token={HIDDEN}",
        f"{HIDDEN}@",
    ],
)
def test_a_url_that_is_none_is_shown_without_what_may_be_a_password(url: str) -> None:
    """Host and port are shown, because they have to be corrected."""
    text = error_of(AROUND.replace("http://x", f"'{url}'") + METRICS)
    assert "sources[0].url: " in text
    assert HIDDEN[:4] not in text
    assert HIDDEN[4:] not in text


def test_what_the_environment_gave_is_shown_as_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at a wrong place."""
    monkeypatch.setenv("FOREWARN_SECRET", HIDDEN)
    text = error_of(AROUND + "timeout_seconds: ${FOREWARN_SECRET}\nlogging: {level: '${FOREWARN_SECRET}'}" + METRICS)
    assert "timeout_seconds: '${FOREWARN_SECRET}'" in text
    assert "logging.level: '${FOREWARN_SECRET}'" in text
    assert HIDDEN not in text


@pytest.mark.parametrize(
    "text", [HIDDEN, f"basic_auth_users: {{alice: {HIDDEN}}}", f"basic_auth_users: {HIDDEN}", f"- {HIDDEN}"]
)
def test_a_web_configuration_that_is_none_is_not_shown(text: str, tmp_path: Path) -> None:
    """The file may contain a password by mistake, or one that is not hashed."""
    path = tmp_path / "web.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_web_config(path)
    assert HIDDEN not in str(caught.value)
