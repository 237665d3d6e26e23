"""The layout of the package: its size, its folders, and how many files one tick passes."""

import re
import subprocess
import sys
from statistics import median

import pytest

import daemon
from tests.house import PACKAGE, REPOSITORY, floors, modules, rooms, whole_modules

MOST_MODULES = 132
LONGEST, SHORTEST = 500, 40
MOST_FILES_OF_A_TICK = 35

HEAVY = ("torch", "lightning", "pytorch_forecasting", "lightgbm")


@pytest.fixture(scope="module")
def walk() -> list[str]:
    """Return the files that a tick passes, as ``python -m tests.house`` prints them."""
    command = [sys.executable, "-m", "tests.house"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, _, listed = done.stdout.partition("from a sample to the alert: ")
    files = re.findall(r"^ +\d+ (\S+\.py)$", listed, re.MULTILINE)
    assert listed.splitlines()[0] == str(len(files))
    return files


def test_the_package_has_few_modules() -> None:
    """A concept is a folder of a few modules; the number of all modules is bounded from both sides."""
    assert MOST_MODULES / 2 < len(whole_modules()) <= MOST_MODULES


def test_a_module_is_neither_long_nor_a_fragment() -> None:
    """No module is longer than 500 lines; none is shorter than 40."""
    long = {module.path: module.lines for module in whole_modules() if module.lines > LONGEST}
    short = {module.path for module in whole_modules() if module.lines < SHORTEST}
    assert long == {}
    assert short == set()
    assert 100 <= median(module.lines for module in whole_modules()) <= 300


def test_the_folders_are_those_of_the_floors_and_of_the_map() -> None:
    """Each folder has its floor in the import rules and one line in the map of the package, and no other has."""
    configured = sorted(room for floor in floors() for room in floor)
    assert configured == list(rooms())
    mapped = re.findall(r"^    ([a-z]+) {2,}\S", daemon.__doc__ or "", re.MULTILINE)
    assert sorted(mapped) == list(rooms())


def test_a_module_stands_in_exactly_one_folder() -> None:
    """No folder has a folder with modules in it, and beside the folders there is only the start of the program."""
    assert {path.path for path in modules() if path.path.count("/") != 1} == {"__init__.py", "__main__.py"}
    assert all(module.path.count("/") == 1 for module in whole_modules())


def test_only_the_network_imports_what_is_heavy() -> None:
    """Torch and what is built on it are imported in one folder, also inside of functions."""
    heavy = {module.room for module in modules() if module.uses(HEAVY)}
    assert heavy == {"network"}


def test_one_module_asks_for_a_gpu() -> None:
    """The device is chosen in one place and handed down."""
    asking = [path for path in PACKAGE.rglob("*.py") if re.search(r"is_available\(|is_initialized\(", path.read_text())]
    assert asking == [PACKAGE / "network" / "device.py"]


def test_a_tick_passes_few_files(walk: list[str]) -> None:
    """From a sample of Prometheus to the alert at Alertmanager the functions of a bounded number of files run."""
    assert len(walk) <= MOST_FILES_OF_A_TICK, "\n".join(walk)


def test_a_tick_passes_the_files_in_the_order_of_the_data(walk: list[str]) -> None:
    """Source, store, window, forecast, risk, alert and delivery follow each other; all of them are files of ours."""
    assert all((PACKAGE / file).is_file() for file in walk)
    order = [
        "pipeline/cycle.py",
        "ingest/ingest.py",
        "ingest/prometheus.py",
        "ingest/prometheus_client.py",
        "ingest/window.py",
        "models/serving.py",
        "network/forecaster.py",
        "alerting/engine.py",
        "breach/model.py",
        "alerting/text.py",
        "alerting/delivery.py",
        "alerting/alertmanager.py",
    ]
    assert [file for file in walk if file in order] == order
