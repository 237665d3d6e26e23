"""Store URLs: what is rejected, with which error."""

import sys
from pathlib import Path

import pytest

from daemon.core.errors import StoreUnavailable
from daemon.store.engine import parse
from daemon.store.history import SqlStore


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("history.db", "cannot be parsed; write sqlite:////"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("mysql://u:hidden@h/d", "mysql is not supported; use sqlite or postgresql"),
        ("mysql://h/d?password=hidden", "mysql is not supported; use sqlite or postgresql"),
        ("postgresql://u:hidden@h:port/d", "cannot be parsed"),
        ("postgresql://u:x@hidden@h/d", "in the password %40 for @"),
    ],
)
def test_a_url_of_no_store_is_rejected(url: str, part: str) -> None:
    """The error has the right form of a URL and no password."""
    with pytest.raises(StoreUnavailable, match=part) as caught:
        SqlStore(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_postgresql_uses_the_driver_that_is_installed(scheme: str) -> None:
    """A URL without a driver works too."""
    assert parse(f"{scheme}://u:p@h/d").drivername == "postgresql+psycopg"


def test_a_server_that_does_not_answer() -> None:
    """The error names the store without its password, the cause and the fix."""
    with pytest.raises(StoreUnavailable, match="check that the server runs") as caught:
        SqlStore("postgresql://user:hidden@127.0.0.1:1/history")
    assert "postgresql+psycopg://user:***@127.0.0.1:1/history" in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to install it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'forewarn\[postgresql\]'"):
        SqlStore("postgresql://user@127.0.0.1:1/history")


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """If a file is in the place of the directory, the error has the URL of the store."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"sqlite:///.*/file/history\.db: .*exists"):
        SqlStore(f"sqlite:///{tmp_path}/file/history.db")
