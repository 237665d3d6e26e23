from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.core.file_access import is_present, reason_of, user_name
from tests.other_user import as_nobody, needs_root, reachable_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder


def why(path: Path) -> str:
    try:
        path.read_text()
    except OSError as error:
        return reason_of(error, "write it again")
    return "it was read"


@needs_root
def test_a_denied_file_is_named_with_owner_mode_and_user(folder: Path) -> None:
    """The reason is the permission, and not what the caller proposes for other errors."""
    file = folder / "weights"
    file.write_text("1")
    file.chmod(0o600)
    with as_nobody():
        text = why(file)
    assert text == (
        f"permission denied: {file} is owned by root (mode 0600), and this command runs as nobody; "
        "give nobody access with chown or chmod, or run the command as root"
    )


@needs_root
def test_a_closed_directory_on_the_way_is_what_is_named(folder: Path) -> None:
    """A file behind it is present as far as can be seen: it must not be taken for missing."""
    closed = folder / "models"
    closed.mkdir(mode=0o700)
    (closed / "a").mkdir()
    with as_nobody():
        assert is_present(closed / "a" / "model.json")
        text = why(closed / "a" / "model.json")
    assert text.startswith(f"permission denied: {closed} is owned by root (mode 0700), and this command runs as nobody")


@needs_root
def test_a_file_that_cannot_be_created_is_denied_by_its_directory(folder: Path) -> None:
    """The owner and the mode are those of the directory."""
    closed = folder / "models"
    closed.mkdir(mode=0o755)
    with as_nobody(), pytest.raises(PermissionError) as denied:
        (closed / "current").write_text("a")
    with as_nobody():
        assert reason_of(denied.value).startswith(f"permission denied: {closed} is owned by root (mode 0755)")


@needs_root
def test_an_error_of_ssl_names_no_file_and_the_reason_does(folder: Path) -> None:
    """Of a certificate and its key, the one that cannot be read is named."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.touch()
    key.touch(mode=0o600)
    with as_nobody():
        text = reason_of(PermissionError(13, "Permission denied"), "name a PEM file", None, certificate, key)
    assert text.startswith(f"permission denied: {key} is owned by root (mode 0600)")


def test_other_errors_keep_their_reason(tmp_path: Path) -> None:
    """They end with the caller's fix; a missing file is not present."""
    assert why(tmp_path / "gone") == "No such file or directory; write it again"
    assert not is_present(tmp_path / "gone")
    assert not is_present(tmp_path / "gone" / "deeper")
    assert reason_of(ValueError("3 is odd")) == "3 is odd"


def test_a_user_without_a_name_is_a_number() -> None:
    """It is written as sudo takes it."""
    assert (user_name(0), user_name(3_999_999)) == ("root", "#3999999")
