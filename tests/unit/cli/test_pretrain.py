"""What ``forewarn pretrain`` refuses, before any work is done."""

from pathlib import Path

import pytest

from daemon.cli.train import pretrain
from daemon.core.errors import ConfigError
from daemon.ingest.metrics_file import write_metrics_file
from tests.panels import daily_panel


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Give a metrics file of nine days."""
    file = tmp_path / "fleet.parquet"
    write_metrics_file(file, daily_panel(2, 9))
    return file


def test_no_epoch_needs_a_network(fleet: Path, tmp_path: Path) -> None:
    """There is nothing to keep where nothing is trained; nothing is written."""
    with pytest.raises(ConfigError, match=r"--epochs 0: there is no network to keep; give one with --from"):
        pretrain([fleet], tmp_path / "out", epochs=0, synthetic=0, incidents=0, from_=None, seed=0)
    assert not (tmp_path / "out").exists()


def test_a_network_needs_its_record(fleet: Path, tmp_path: Path) -> None:
    """A folder that pretrain did not write is refused by name."""
    with pytest.raises(ConfigError, match=r"--from .*elsewhere: pretraining.json is missing or damaged"):
        pretrain([fleet], tmp_path / "out", epochs=1, synthetic=0, incidents=0, from_=tmp_path / "elsewhere", seed=0)


def test_an_old_folder_is_not_written_over(fleet: Path, tmp_path: Path) -> None:
    """What --out names must not be there yet."""
    with pytest.raises(ConfigError, match=r"exists; name a new folder"):
        pretrain([fleet], tmp_path, epochs=1, synthetic=0, incidents=0, from_=None, seed=0)
