"""Who may write state, at the command line and below it."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from daemon.cli.data import command_as, require_owner
from daemon.config.loading import default_text
from daemon.core.errors import ConfigError, StoreUnavailable
from daemon.ingest.metrics_file import write_metrics_file
from daemon.models.registry import ModelRegistry
from daemon.store.history import SqlStore
from tests.model_directory import register
from tests.other_user import as_nobody, hand_over, needs_root, reachable_folder
from tests.panels import daily_panel


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder with a configuration, a metrics file, and a data directory of nobody's with two models."""
    with reachable_folder() as folder:
        (folder / "config.yaml").write_text(default_text(), encoding="utf-8")
        write_metrics_file(folder / "fleet.parquet", daily_panel(2, 9))
        registry = ModelRegistry(folder / "data" / "models")
        for name in (register(registry), register(registry)):
            registry.promote(name, "by a test")
        hand_over(folder / "data")
        yield folder


def ran(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "daemon", *shlex.split(command)]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def files_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_uid for path in folder.rglob("*")}


@needs_root
@pytest.mark.parametrize(
    "command",
    [
        "run --config config.yaml",
        "train --level demo --config config.yaml",
        "train --data 'fleet.parquet' --config config.yaml --models data/models",
        "models promote {model} --config config.yaml",
        "models promote {model} --models data/models",
        "models rollback --config config.yaml",
        "import fleet.parquet --config config.yaml",
        "retrain --config config.yaml --folder data/training/a --level demo --seed 1",
    ],
)
def test_a_command_that_writes_as_another_user_is_refused(command: str, folder: Path) -> None:
    """The status is 2, the error has the line to use instead, and nothing was written."""
    command = command.format(model=ModelRegistry(folder / "data" / "models").ids()[0])
    before = files_of(folder)
    done = ran(folder, command)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert " is owned by nobody, and this command runs as root, " in done.stderr
    assert done.stderr.endswith(f"; run: sudo -u nobody forewarn {shlex.join(shlex.split(command))}\n")
    assert files_of(folder) == before


@needs_root
def test_the_demo_of_another_user_is_refused(folder: Path) -> None:
    """It would write its configuration, history and models there."""
    (folder / "config.yaml").unlink()
    done = ran(folder, "demo --dir .")
    assert done.returncode == 2
    assert done.stderr.endswith("; run: sudo -u nobody forewarn demo --dir .\n")


@needs_root
def test_commands_that_read_work_and_leave_nothing(folder: Path) -> None:
    """A store that does not exist is not created, and what SQLite adds to one that does is its owner's."""
    data = folder / "data"
    assert ran(folder, "models list --config config.yaml").returncode == 0
    before = files_of(data)
    missing = ran(folder, "export out.csv --config config.yaml")
    assert (missing.returncode, "the store is empty" in missing.stderr) == (3, True)
    assert files_of(data) == before
    SqlStore(f"sqlite:///{data / 'forewarn.sqlite'}").close()
    hand_over(data)
    reader = SqlStore(f"sqlite:///{data / 'forewarn.sqlite'}")
    try:
        assert reader.span() is None
        assert {path.name for path in data.glob("forewarn.sqlite-*")} == {"forewarn.sqlite-wal", "forewarn.sqlite-shm"}
        assert set(files_of(data).values()) == {before[data / "models"]}
    finally:
        reader.close()


def test_a_directory_that_does_not_exist_yet_is_nobodys(tmp_path: Path) -> None:
    """Whoever runs creates it, and one's own may be written."""
    require_owner(tmp_path, tmp_path / "new", tmp_path / "new" / "models")


@needs_root
def test_the_owner_decides_and_a_writable_volume_of_root_is_accepted() -> None:
    """Another user is refused although the directory is open to all; root, who owns a volume, can read every file."""
    with reachable_folder() as folder:
        for owner, mode, refused in ((4_000_000, 0o777, True), (0, 0o777, False), (0, 0o755, True)):
            os.chown(folder, owner, owner)
            folder.chmod(mode)
            with as_nobody(), pytest.raises(ConfigError) if refused else nullcontext() as error:
                require_owner(folder)
            if error is not None:
                assert re.match(f"{folder} is owned by (#4000000|root), .*; run: sudo -u ", str(error.value))


def test_the_line_to_use_instead_is_quoted_and_keeps_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sudo drops the environment, so that the configuration it names becomes an option."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/daemon/__main__.py", "train", "--data", "my fleet.csv"])
    monkeypatch.delenv("FOREWARN_CONFIG", raising=False)
    assert command_as("#77") == "sudo -u '#77' forewarn train --data 'my fleet.csv'"
    monkeypatch.setenv("FOREWARN_CONFIG", "/etc/other.yaml")
    assert command_as("me") == "sudo -u me forewarn train --data 'my fleet.csv' --config /etc/other.yaml"
    monkeypatch.setattr(sys, "argv", ["/opt/x/bin/forewarn", "run", "-c", "a.yaml"])
    assert command_as("me") == "sudo -u me /opt/x/bin/forewarn run -c a.yaml"


@needs_root
def test_a_mistyped_config_beside_data_is_an_error(folder: Path) -> None:
    """The defaults do not take its place."""
    done = ran(folder, "forecast --data fleet.parquet --config confg.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("forewarn: --config confg.yaml: does not exist; ")


@needs_root
def test_a_store_that_may_not_be_read_is_named_with_its_owner(folder: Path) -> None:
    """It is not reported as missing."""
    path = folder / "data" / "forewarn.sqlite"
    SqlStore(f"sqlite:///{path}").close()
    with as_nobody(), pytest.raises(StoreUnavailable, match=f"permission denied: {path} is owned by root"):
        SqlStore(f"sqlite:///{path}")
