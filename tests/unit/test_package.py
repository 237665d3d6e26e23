"""Rules for the package, the documents and the tests as a whole."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TypeGuard

import pytest
import typer

import daemon
from daemon.cli.app import app

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "daemon"
HEAVY = ("torch", "lightning", "pytorch_forecasting")
MAKE = r"\bmake ([a-z-]+)"
LEFTOVERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bbreakpoint\(|\bpdb\b")
"""Marks of unfinished work."""


def imported_by(code: str) -> set[str]:
    """Return the names of all modules that a fresh interpreter has imported after ``code``."""
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def command(*arguments: str) -> str:
    return f"from daemon.cli.app import main; sys.argv[:] = {['forewarn', *arguments]}; main()"


@pytest.mark.parametrize(
    "code",
    [
        "import daemon",
        command("--help"),
        command("train", "--help"),
        command("check-config", "config.yaml"),
        command("claims", "--models", "nowhere"),
        command("readiness", "--models", "nowhere"),
    ],
    ids=["import", "help", "train-help", "check-config", "claims", "readiness"],
)
def test_fast_commands_do_not_import_torch(code: str) -> None:
    """Help, check-config, claims and readiness import neither torch nor a library on top of it."""
    imported = imported_by(code)
    assert "daemon" in imported
    assert not imported.intersection(HEAVY)


def test_the_overall_help_imports_no_command() -> None:
    """It lists each command with the first line of its help, read from the source: an import of numpy takes longer."""
    assert not imported_by(command("--help")) & {"numpy", "daemon.cli.train", "daemon.config.schema"}
    listed = subprocess.run(
        [sys.executable, "-m", "daemon", "--help"], env={"COLUMNS": "200"}, capture_output=True, text=True, check=True
    )
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    commands = [group.get_command(typer.Context(group), name) for name in app_commands()]
    assert len(commands) > 10
    for each in commands:
        assert each.help.splitlines()[0] in listed.stdout


def test_building_the_service_does_not_import_torch(tmp_path: Path) -> None:
    """Without a model the service runs without torch."""
    config = tmp_path / "config.yaml"
    config.write_text((REPOSITORY / "config.yaml").read_text().replace("127.0.0.1:9855", "127.0.0.1:0"))
    code = (
        "from pathlib import Path; from daemon.config.loading import load_config; "
        f"from daemon.service.build import build_service; path = Path({str(config)!r}); "
        "build_service(load_config(path), path).stop()"
    )
    imported = imported_by(code)
    assert "daemon.service.build" in imported
    assert not imported.intersection(HEAVY)


def test_every_dependency_is_imported() -> None:
    """A dependency that the package does not import is not one; two bring files instead of code."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w.-]+", line).group() for line in project["dependencies"]}
    modules = {"nvidia-ml-py": "pynvml", "pyyaml": "yaml"}
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    missing = {name for name in names if modules.get(name, name).replace("-", "_") not in imported}
    assert missing == {"fastapi-swagger", "tzdata"}


def test_the_installed_daemon_is_ours() -> None:
    """The package ``daemon`` comes from this repository, not from another distribution such as python-daemon."""
    assert daemon.__file__ == str(PACKAGE / "__init__.py")
    assert set(packages_distributions()["daemon"]) == {"forewarn"}


def test_the_readme_has_every_command_and_no_other() -> None:
    """The table of commands in the README has exactly the commands of the program."""
    readme = (REPOSITORY / "README.md").read_text()
    table = [line.split("|")[1] for line in readme.splitlines() if line.startswith("| `forewarn ")]
    documented = {name for cell in table for name in re.findall(r"`forewarn ([a-z-]+)", cell)}
    assert documented == set(app_commands())


def test_every_command_in_the_readme_exists() -> None:
    """Each command and each make target in the README exists."""
    readme = (REPOSITORY / "README.md").read_text()
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    commands, used_targets = (set(re.findall(form, readme)) for form in (r"\bforewarn ([a-z-]+) [-<A-Z]", MAKE))
    assert len(commands) > 3
    assert commands <= set(app_commands())
    assert {"demo", "test"} <= used_targets <= set(targets)


def app_commands() -> list[str]:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return group.list_commands(typer.Context(group))


def test_no_module_has_a_leftover() -> None:
    """No module of the package has a mark of unfinished work or a call of a debugger; none is empty."""
    modules = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    assert len(modules) > 50
    assert not [path for path, text in modules.items() if LEFTOVERS.search(text)]
    assert not [path for path, text in modules.items() if not text.strip() and path.name != "__init__.py"]


def test_every_test_has_a_sentence_as_docstring() -> None:
    """The docstring of every test function ends with a full stop or a question mark."""
    modules = (REPOSITORY / "tests").rglob("*.py")
    functions = [(path, node) for path in modules for node in ast.walk(ast.parse(path.read_text())) if is_test(node)]
    assert len(functions) > 500
    assert not [
        f"{path}:{node.lineno}" for path, node in functions if not (ast.get_docstring(node) or "").endswith((".", "?"))
    ]


def is_test(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
