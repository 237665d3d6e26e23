from pathlib import Path

import pytest

from daemon.cli import data as module
from daemon.cli.data import VARIABLE, config_file, configuration, find_config
from daemon.config.loading import default_text
from daemon.core.errors import ConfigError


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with ``system.yaml`` in the place of the one in /etc, as yet none of the files there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(module, "SYSTEM_CONFIG", tmp_path / "system.yaml")
    return tmp_path


def write(path: Path, data_dir: str) -> Path:
    path.write_text(default_text().replace("data_dir: data", f"data_dir: {data_dir}"), encoding="utf-8")
    return path


def test_the_first_of_option_variable_folder_and_system(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place is taken only where those before it name nothing."""
    assert find_config(None) is None
    system = write(places / "system.yaml", "d")
    assert find_config(None) == system
    write(places / "config.yaml", "c")
    assert find_config(None) == Path("config.yaml")
    monkeypatch.setenv(VARIABLE, str(write(places / "variable.yaml", "b")))
    assert find_config(None) == places / "variable.yaml"
    assert find_config(write(places / "option.yaml", "a")) == places / "option.yaml"


def test_a_file_that_is_named_and_missing_is_an_error(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other file, and no default, takes its place; the error names the source of the path."""
    write(places / "config.yaml", "c")
    with pytest.raises(ConfigError, match=r"^--config typo.yaml: does not exist; "):
        configuration(Path("typo.yaml"), required=False)
    monkeypatch.setenv(VARIABLE, "gone.yaml")
    with pytest.raises(ConfigError, match=r"^\$FOREWARN_CONFIG gone.yaml: does not exist; "):
        configuration(None, required=False)


def test_without_a_file_the_defaults_apply_where_none_is_required(places: Path) -> None:
    """Where one is required, the error lists the places that were looked at."""
    assert configuration(None, required=False).data_dir == places / "data"
    with pytest.raises(ConfigError) as refused:
        configuration(None)
    assert refused.value.problems == [
        f"no configuration: $FOREWARN_CONFIG is not set, and neither config.yaml nor {places / 'system.yaml'} exists; "
        "name a file with --config, or create one with forewarn init"
    ]


def test_the_file_that_was_found_is_reported_on_stderr(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that the option names is not."""
    write(places / "config.yaml", "found")
    assert configuration(None).data_dir == places / "found"
    assert capsys.readouterr() == ("", "forewarn: using the configuration config.yaml\n")
    assert config_file(Path("config.yaml")) == Path("config.yaml")
    assert capsys.readouterr() == ("", "")
