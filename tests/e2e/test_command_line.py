"""Every documented command as a user types it: its output, and its error."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from daemon.config.loading import default_text
from daemon.core.forecast import QUANTILE_COLUMNS
from daemon.ingest.metrics_file import read_metrics_file
from tests.servers.forewarn import change_config, forewarn
from tests.servers.processes import STOP_DEADLINE_SECONDS, cpu_seconds, free_port, handles_signals, wait_until

COMMANDS = {
    "run": ("--config",),
    "demo": ("--speed", "--dir", "--listen"),
    "init": ("--prometheus", "--out", "--force"),
    "check-config": ("FILE",),
    "simulate": ("--hours", "--num-ml-compute", "--num-generic", "--seed", "--out"),
    "train": ("--level", "--data", "--epochs", "--until", "--models", "--from", "--seed", "--force"),
    "pretrain": ("--data", "--out", "--epochs", "--seed"),
    "models": ("list", "show", "promote", "rollback", "verify"),
    "claims": ("--model", "--models", "--json"),
    "readiness": ("--model", "--models", "--json"),
    "forecast": ("--data", "--model", "--models", "--server", "--json"),
    "backtest": ("--data", "--origins", "--from", "--every", "--model", "--models", "--alerts", "--out", "--json"),
    "export": ("FILE", "--hours"),
    "import": ("FILE",),
}
FLEET = {"ml-compute": 1, "database": 1, "web-api": 1, "conductor-mgmt": 0, "data-ingest": 0, "risk-analytics": 0}
SERVERS = ("db-01", "generic-01", "ml-compute-01", "web-01")
METRICS = tuple(yaml.safe_load(default_text())["metrics"])
HOURS = 192
HEAD = "timestamp,server,metric,value\n"
BAD_FILES = {
    "text.csv": (f"{HEAD}2026-01-05T00:00:00Z,a,cpu,high\n", ("'value', row 1", "'high'", "leave the cell empty")),
    "off.csv": (f"{HEAD}2026-01-05T00:00:01Z,a,cpu,1\n", ("'timestamp', row 1", "off the 300 s grid", "nearest")),
    "zone.csv": (f"{HEAD}2026-01-05T00:00:00,a,cpu,1\n", ("'timestamp', row 1", "no time zone", "Z")),
    "infinite.csv": (f"{HEAD}2026-01-05T00:00:00Z,a,cpu,inf\n", ("'value', row 1", "infinite", "leave out")),
    "empty.csv": ("", ("is empty", "write it again")),
    "empty.parquet": ("", ("is empty", "write it again")),
    "headed.csv": (HEAD, ("has no rows", "at least one")),
}


def refused(*arguments: str | Path, folder: Path, status: int, says: tuple[str, ...]) -> None:
    """Check that a command ends with ``status`` and one line on standard error that has all of ``says``."""
    done = forewarn(*arguments, folder=folder, status=status)
    assert done.stdout == ""
    assert done.stderr.startswith("forewarn: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert not [part for part in says if part not in done.stderr], done.stderr


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight days of four servers, as ``forewarn simulate`` writes them."""
    folder = tmp_path_factory.mktemp("simulated")
    counts = [part for name, count in FLEET.items() for part in (f"--num-{name}", str(count))]
    forewarn(
        "simulate", "--hours", str(HOURS), *counts, "--num-generic", "1", "--seed", "3", "--out", "fleet",
        folder=folder,
    )  # fmt: skip
    return folder / "fleet"


@pytest.fixture(scope="module")
def models(simulated: Path) -> Path:
    """The models folder after ``forewarn train`` on that fleet."""
    folder = simulated.parent
    done = forewarn(
        "train", "--level", "demo", "--epochs", "1", "--data", simulated, "--models", "models", "--seed", "1",
        folder=folder,
    )  # fmt: skip
    assert "A demo model is a proof of concept: nothing may be claimed of its accuracy." in done.stdout
    return folder / "models"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with the packaged metrics, its data in the test's folder."""
    path = tmp_path / "config.yaml"
    path.write_text(default_text())
    change_config(path, {"http": {"listen": f"127.0.0.1:{free_port()}"}})
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    """``--help`` of a command names each of its documented options."""
    done = forewarn(command, "--help", folder=tmp_path)
    assert not [option for option in COMMANDS[command] if option.lower() not in done.stdout.lower()], done.stdout
    assert "Usage: " in done.stdout


def test_help_lists_every_command(tmp_path: Path) -> None:
    """``forewarn --help`` names all commands, and ``--version`` prints the version."""
    done = forewarn("--help", folder=tmp_path)
    assert not [command for command in COMMANDS if f" {command} " not in done.stdout]
    assert forewarn("--version", folder=tmp_path).stdout.startswith("forewarn 0.")


def test_simulate_writes_metrics_incidents_and_parameters(simulated: Path) -> None:
    """The metrics are wide, with every default metric; the incidents are apart; the parameters hold the seed."""
    assert sorted(path.name for path in simulated.iterdir()) == [
        "fleet.json",
        "incidents.parquet",
        "server_metrics.parquet",
    ]
    metrics = pq.read_table(simulated / "server_metrics.parquet")
    assert set(metrics.column_names) == {"timestamp", "server", "profile", *METRICS}
    assert sorted(set(metrics["server"].to_pylist())) == list(SERVERS)
    assert read_metrics_file(simulated).steps == HOURS * 12
    assert pq.read_schema(simulated / "incidents.parquet").names == [
        "server", "kind", "metric", "start", "breach", "end", "cause", "precursor"
    ]  # fmt: skip
    assert json.loads((simulated / "fleet.json").read_text())["spec"]["seed"] == 3


def test_train_on_a_simulated_fleet_makes_the_model_that_serves(models: Path) -> None:
    """The model directory holds weights and JSON, no pickle, and ``current`` names it."""
    model = models / (models / "current").read_text().strip()
    files = {path.name for path in model.iterdir()}
    assert files >= {"model.safetensors", "model.json", "training_info.json", "epochs.jsonl", "samples.parquet"}
    assert {Path(name).suffix for name in files} <= {".safetensors", ".json", ".jsonl", ".parquet", ".html"}
    info = json.loads((model / "training_info.json").read_text())
    assert (info["level"], info["epochs"], info["num_servers"], info["seed"]) == ("demo", 1, len(SERVERS), 1)


def test_models_are_listed_shown_verified_promoted_and_rolled_back(models: Path, tmp_path: Path) -> None:
    """The list has the gate decision; promote and rollback change the serving model."""
    copy = tmp_path / "models"
    shutil.copytree(models, copy)
    first = (copy / "current").read_text().strip()
    second = "20200101T000000Z-00000000"
    shutil.copytree(copy / first, copy / second)

    def said(*arguments: str) -> str:
        return forewarn("models", *arguments, "--models", copy, folder=tmp_path).stdout

    listed = json.loads(said("list", "--json"))
    assert listed["current"] == first
    assert [(row["id"], row["serves"], row["promoted"]) for row in listed["models"]] == [
        (second, False, True),
        (first, True, True),
    ]
    assert "It beats seasonal naive" in said("show", first)
    assert json.loads(said("show", first, "--json"))["promotions"][0]["why"] == "promoted by the gate after training"
    assert "complete" in said("verify", first)
    assert f"{second} serves" in said("promote", second)
    assert f"{first} serves again" in said("rollback")
    assert (copy / "current").read_text().strip() == first
    (copy / second / "evil.pkl").write_bytes(b"x")
    (copy / second / "epochs.jsonl").write_text("{\n", encoding="utf-8")
    done = forewarn("models", "verify", second, "--models", copy, folder=tmp_path, status=1)
    assert "evil.pkl: does not belong to a model" in done.stderr
    assert "epochs.jsonl: cannot be read" in done.stderr
    assert "damaged" in said("list")


def test_forecast_prints_one_json_document(simulated: Path, models: Path) -> None:
    """``--json`` gives every series' seven ordered quantile paths of 96 steps, and nothing else on standard output."""
    model = (models / "current").read_text().strip()
    done = forewarn(
        "forecast", "--data", simulated, "--models", models, "--model", model, "--json", folder=simulated.parent
    )
    document = json.loads(done.stdout)
    assert document["model"] == model
    assert {item["server"] for item in document["forecasts"]} == set(SERVERS)
    assert {item["source"] for item in document["forecasts"]} == {"model"}
    assert len(document["times"]) == 96
    for item in document["forecasts"]:
        paths = np.array([item["quantiles"][name] for name in QUANTILE_COLUMNS])
        assert paths.shape == (7, 96)
        assert (np.diff(paths, axis=0) >= 0).all()


def test_without_a_model_the_base_network_forecasts(simulated: Path, tmp_path: Path) -> None:
    """Every forecast names the base network as its source."""
    done = forewarn("forecast", "--data", simulated, "--models", "none", "--json", folder=tmp_path)
    document = json.loads(done.stdout)
    assert document["model"] == ""
    assert {item["source"] for item in document["forecasts"]} == {"base"}


def test_forecast_prints_a_table_of_one_server(simulated: Path, tmp_path: Path) -> None:
    """Without ``--json`` the output is a table; ``--server`` limits it to one server."""
    done = forewarn("forecast", "--data", simulated, "--models", "none", "--server", "web-01", folder=tmp_path)
    assert "by base: median" in done.stdout
    assert "web-01" in done.stdout
    assert "db-01" not in done.stdout


def test_backtest_writes_every_forecast_and_one_json_document(simulated: Path, tmp_path: Path) -> None:
    """The forecast file has a row per origin, server, metric and step, with ordered quantiles."""
    done = forewarn(
        "backtest", "--data", simulated, "--models", "none", "--no-peers", "--from", "2026-01-11T00:00:00Z",
        "--every", "12h", "--metrics", "cpu_busy_pct", "--out", "forecasts.parquet", "--json",
        folder=tmp_path,
    )  # fmt: skip
    assert isinstance(json.loads(done.stdout), dict)
    table = pq.read_table(tmp_path / "forecasts.parquet")
    assert table.column_names == ["origin", "server", "metric", "step", *QUANTILE_COLUMNS]
    origins = set(table["origin"].to_pylist())
    assert len(origins) == 4
    assert table.num_rows == len(origins) * len(SERVERS) * 96
    quantiles = np.array([table[name].to_numpy() for name in QUANTILE_COLUMNS])
    assert (np.diff(quantiles, axis=0) >= 0).all()


def test_backtest_of_alerts_stands_beside_todays_rules(simulated: Path, tmp_path: Path) -> None:
    """For every threshold of the configuration: forewarn, seasonal naive, and the two rules, on the same windows."""
    asked = ("backtest", "--data", simulated, "--models", "none", "--no-peers", "--alerts")
    span = ("--from", "2026-01-10T00:00:00Z", "--every", "2h", "--metrics", "disk_busy_pct")
    document = json.loads(forewarn(*asked, *span, "--json", folder=tmp_path).stdout)
    assert {(kind["metric"], kind["severity"]) for kind in document["alerts"]} == {
        ("disk_busy_pct", "warning"),
        ("disk_busy_pct", "critical"),
    }
    for kind in document["alerts"]:
        assert kind["windows"] > 100
        assert set(kind["approaches"]) == {
            "forewarn",
            "seasonal naive, day",
            "predict_linear(x[6h], 8h) >= threshold",
            "already at 90 % of the threshold",
        }
    table = forewarn(*asked, *span, folder=tmp_path).stdout
    assert "disk_busy_pct, critical" in table
    assert "false alarms" in table


def test_backtest_of_alerts_needs_a_threshold(simulated: Path, tmp_path: Path) -> None:
    """If no metric has a threshold, the error names the fix."""
    refused(
        "backtest", "--data", simulated, "--models", "none", "--alerts", "--no-peers", "--metrics", "net_in_mb_s",
        "--from", "2026-01-10T00:00:00Z",
        folder=tmp_path, status=2, says=("none of net_in_mb_s has a warning or a critical threshold", "--config"),
    )  # fmt: skip


def test_what_was_imported_comes_out_again(simulated: Path, config: Path) -> None:
    """Import and export keep every series, profile and value, in either format."""
    folder = config.parent
    imported = forewarn("import", simulated / "server_metrics.parquet", "--config", config, folder=folder)
    assert "samples new or changed" in imported.stdout
    before = read_metrics_file(simulated)
    for name in ("out.parquet", "out.csv"):
        forewarn("export", name, "--config", config, folder=folder)
        after = read_metrics_file(folder / name)
        assert (after.keys, after.start, after.profiles) == (before.keys, before.start, before.profiles)
        assert np.array_equal(after.values, before.values, equal_nan=True)
    again = forewarn("import", "out.csv", "--config", config, folder=folder)
    assert ": 0 samples new or changed" in again.stdout
    forewarn("export", "hour.csv", "--hours", "1", "--config", config, folder=folder)
    assert read_metrics_file(folder / "hour.csv").steps == 12


def test_metrics_that_are_not_configured_are_named_when_left_out(config: Path) -> None:
    """An import names the metrics that it leaves out because they are not configured, and where to add them."""
    (config.parent / "strange.csv").write_text(f"{HEAD}2026-01-05T00:00:00Z,a,humidity,40\n")
    done = forewarn("import", "strange.csv", "--config", config, folder=config.parent)
    assert "0 samples" in done.stdout
    assert "humidity" in done.stderr
    assert "metrics:" in done.stderr


def test_check_config_accepts_the_packaged_configuration(config: Path) -> None:
    """The summary of a good configuration is one line."""
    done = forewarn("check-config", config, folder=config.parent)
    assert done.stdout.count("\n") == 1
    assert f"good. {len(METRICS)} metrics from simulator" in done.stdout


def test_check_config_names_every_problem_at_once(tmp_path: Path) -> None:
    """An unknown key and a wrong type are each named with their place and the fix; the status is 2."""
    document = yaml.safe_load(default_text()) | {"timezon": "UTC"}
    document["store"]["retention_days"] = "long"
    document["sources"][0]["type"] = "simulatr"
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(document))
    for command in (("check-config", "bad.yaml"), ("run", "--config", "bad.yaml")):
        done = forewarn(*command, folder=tmp_path, status=None)
        assert (done.returncode, done.stdout) == (2, "")
        lines = done.stderr.splitlines()
        assert len(lines) == 3, done.stderr
        for line, says in zip(
            sorted(lines),
            (
                ("sources[0].type", "'simulatr'", "did you mean simulator?"),
                ("store.retention_days", "'long'", "integer"),
                ("timezon:", "did you mean timezone?"),
            ),
            strict=True,
        ):
            assert line.startswith("forewarn: bad.yaml: ")
            assert not [part for part in says if part not in line], line


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_metrics_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    """The line names the file, the position in it and the fix; the exit status is 1."""
    text, says = BAD_FILES[name]
    (tmp_path / name).write_text(text)
    refused("forecast", "--data", name, folder=tmp_path, status=1, says=(f"{name}: ", *says))


def test_every_command_that_reads_a_file_refuses_a_truncated_one(simulated: Path, config: Path) -> None:
    """Forecast, train, import and a replay name a parquet file that is only half there."""
    folder = config.parent
    whole = (simulated / "server_metrics.parquet").read_bytes()
    (folder / "half.parquet").write_bytes(whole[: len(whole) // 2])
    change_config(config, {"sources": [{"name": "file", "type": "replay", "path": "half.parquet"}]})
    says = ("half.parquet", "is not a whole parquet file", "write it again")
    for command in (
        ("forecast", "--data", "half.parquet", "--config", config),
        ("train", "--data", "half.parquet", "--config", config),
        ("import", "half.parquet", "--config", config),
        ("run", "--config", config),
    ):
        refused(*command, folder=folder, status=1, says=says)


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("forecast --data gone.parquet", 1, ("gone.parquet: does not exist", "check the path")),
        ("run --config gone.yaml", 2, ("gone.yaml", "--config", "forewarn init")),
        ("check-config gone.yaml", 2, ("gone.yaml", "No such file", "forewarn init")),
        ("train --data {data} --until noon", 2, ("--until", "'noon'", "ISO 8601")),
        ("train --data {data} --until 2026-01-08T00:00:00", 2, ("--until", "no time zone", "2026-03-01T12:00:00Z")),
        ("train --data {data} --until 2020-01-01T00:00:00Z", 3, ("no sample before --until",)),
        ("forecast --data {data} --server nobody", 2, ("--server", "'nobody'", "web-01")),
        ("forecast --data {data} --model nope", 1, ("'nope'", "forewarn train")),
        ("init --prometheus http://127.0.0.1:1", 1, ("http://127.0.0.1:1", "cannot be reached", "url is right")),
        ("init --prometheus nonsense", 2, ("--prometheus nonsense", "URL")),
        ("simulate --start 2026-01-05 --out x", 2, ("--start", "no time zone")),
        ("simulate --hours 1 --out file/x", 1, ("file/x", "Not a directory", "check the path")),
        ("demo --dir file/x", 1, ("file/x", "Not a directory", "check the path")),
        ("demo --dir x --listen 0.0.0.0:1", 2, ("0.0.0.0:1 is not loopback", "bearer_token_file")),
    ],
)
def test_wrong_use_is_one_line(
    command: str, status: int, says: tuple[str, ...], simulated: Path, tmp_path: Path
) -> None:
    """The line names the cause and the fix; the exit status depends on the kind of the failure."""
    (tmp_path / "file").touch()
    arguments = [part.format(data=simulated) for part in command.split()]
    refused(*arguments, folder=tmp_path, status=status, says=says)
    assert sorted(path.name for path in tmp_path.iterdir()) in (["file"], ["file", "x"])


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("train --level huge", ("--level", "'huge'", "demo", "production")),
        ("train --epochs 0", ("--epochs", "1")),
        ("simulate --hours inf --out x", ("--hours",)),
        ("export x.parquet --hours inf", ("--hours",)),
        ("init", ("--prometheus",)),
        ("tran", ("No such command", "'tran'")),
    ],
)
def test_a_wrong_option_is_named_with_the_usage(command: str, says: tuple[str, ...], tmp_path: Path) -> None:
    """The error names the wrong option and the valid ones; the exit status is 2."""
    done = forewarn(*command.split(), folder=tmp_path, status=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert not [part for part in says if part not in done.stderr], done.stderr


def test_a_data_dir_that_cannot_be_written_is_named(config: Path) -> None:
    """The service and an import name the folder and the reason; an export names its file and the reason."""
    folder = config.parent
    (folder / "file").touch()
    (folder / "sample.csv").write_text(f"{HEAD}2026-01-05T00:00:00Z,a,cpu_busy_pct,1\n")
    forewarn("import", "sample.csv", "--config", config, folder=folder)
    refused("export", "file/x.csv", "--config", config, folder=folder, status=1, says=("file", "check the path"))
    change_config(config, {"data_dir": "file/data"})
    says = ("file/data", "Not a directory", "the permissions of its user")
    for command in (("run",), ("import", "sample.csv")):
        refused(*command, "--config", config, folder=folder, status=1, says=says)


def test_a_port_in_use_is_named(config: Path) -> None:
    """The service ends with exit status 1 and names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        change_config(config, {"http": {"listen": address}})
        says = (f"http.listen: {address}", "in use", "choose another port")
        refused("run", "--config", config, folder=config.parent, status=1, says=says)


def truncate_weights(models: Path, model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def remove_model(models: Path, model: Path) -> None:
    shutil.rmtree(model)


def garble_current(models: Path, model: Path) -> None:
    (models / "current").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize("damaging", [truncate_weights, remove_model, garble_current])
def test_a_damaged_model_is_named(
    damaging: Callable[[Path, Path], None], simulated: Path, models: Path, tmp_path: Path
) -> None:
    """Any broken file gives one line with the folder of the models, no traceback and exit status 1."""
    copy = tmp_path / "models"
    shutil.copytree(models, copy)
    damaging(copy, copy / (copy / "current").read_text().strip())
    refused("forecast", "--data", simulated, "--models", "models", folder=tmp_path, status=1, says=("models",))


@pytest.mark.parametrize("after_cpu_seconds", [0.0, 0.8, 1.5])
def test_ctrl_c_leaves_nothing_of_a_simulation(after_cpu_seconds: float, tmp_path: Path) -> None:
    """After Ctrl-C at the start or in the middle simulate ends with status 130, without a traceback or a file."""
    command = ("simulate", "--hours", "9000", "--out", "out")
    output = interrupted(command, tmp_path, lambda pid: cpu_seconds(pid) >= after_cpu_seconds)
    assert "Traceback" not in output
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_ctrl_c_leaves_nothing_of_a_training(simulated: Path, tmp_path: Path) -> None:
    """After Ctrl-C during the imports or between epochs train ends with status 130, without a traceback or a model."""
    command = ("train", "--data", simulated, "--level", "production", "--models", "models")
    interrupted(command, tmp_path, lambda pid: cpu_seconds(pid) >= 0.8)
    log = tmp_path / "log"
    output = interrupted(command, tmp_path, lambda _: "epoch 1/20" in log.read_text())
    assert "Traceback" not in output
    left = list((tmp_path / "models").iterdir()) if (tmp_path / "models").exists() else []
    # the same command resumes from the checkpoint
    assert [path.name for path in left] in ([], [".checkpoints"])


def interrupted(command: tuple[str | Path, ...], folder: Path, due: Callable[[int], bool]) -> str:
    """Start a command, press Ctrl-C when ``due`` is true of its process id, and return its output.

    The process handles signals by then; its status must be 130.
    """
    log = folder / "log"
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "daemon", *map(str, command)], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: handles_signals(started.pid), 10, "the start of the command")
        wait_until(lambda: started.poll() is not None or due(started.pid), 60, "the moment of Ctrl-C")
        assert started.poll() is None, log.read_text()
        started.send_signal(signal.SIGINT)
        assert started.wait(STOP_DEADLINE_SECONDS) == 130, log.read_text()
    finally:
        started.kill()
        started.wait()
    return log.read_text()
