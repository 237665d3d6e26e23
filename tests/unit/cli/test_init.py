from pathlib import Path

import pytest

from daemon.cli.init import init
from daemon.core.errors import ConfigError, SourceUnavailable
from tests.servers.processes import free_port


def test_an_existing_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    """The refusal comes before anything is asked of the server, and names both ways on."""
    out = tmp_path / "config.yaml"
    out.write_text("mine")
    with pytest.raises(ConfigError, match=r"config.yaml: exists already.*--out.*--force"):
        init("http://127.0.0.1:9", out)
    assert out.read_text() == "mine"


def test_a_url_where_nothing_listens_is_an_outage_and_writes_nothing(tmp_path: Path) -> None:
    """The text names the URL."""
    port = free_port()
    with pytest.raises(SourceUnavailable, match=f"127.0.0.1:{port}"):
        init(f"http://127.0.0.1:{port}", tmp_path / "config.yaml")
    assert list(tmp_path.iterdir()) == []


def test_half_of_the_credentials_is_a_wrong_use(tmp_path: Path) -> None:
    """A user without a password file, or the other way round, is refused."""
    with pytest.raises(ConfigError, match="--password-file"):
        init("http://127.0.0.1:9", tmp_path / "config.yaml", username="me")


def test_a_password_in_the_url_is_refused_without_being_shown(tmp_path: Path) -> None:
    """It would end in a file that others may read."""
    with pytest.raises(ConfigError, match="--password-file") as caught:
        init("http://me:hush@127.0.0.1:9", tmp_path / "config.yaml")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["prometheus:9090", "ftp://prometheus", "http://"])
def test_what_is_no_http_url_is_a_wrong_use(url: str, tmp_path: Path) -> None:
    """The text repeats the option and the value."""
    with pytest.raises(ConfigError, match=f"--prometheus {url}".rstrip("/")):
        init(url, tmp_path / "config.yaml")


def test_a_missing_ca_file_is_a_wrong_use(tmp_path: Path) -> None:
    """The text names the file."""
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        init("https://127.0.0.1:9", tmp_path / "config.yaml", ca_file=tmp_path / "nowhere.pem")
