"""Under a real systemd: installed, started, reloaded, hung, killed, upgraded, stopped, and removed.

The tests share one box and follow the life of a service.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from daemon.config.loading import default_text
from daemon.core.series import parse_time
from tests.servers.history import node_history, write_history
from tests.servers.processes import free_port, require_programs, wait_until
from tests.servers.prometheus import RunningPrometheus
from tests.servers.systemd_box import REPOSITORY, SystemdBox

CONFIG = "/etc/forewarn/config.yaml"
INSTALL = (REPOSITORY / "deploy/install.sh",)
LEAST_EXPOSURE = 2.0
HISTORY_END = parse_time("2026-01-08T00:00:00Z")
SPEED = 300
PATIENT_STOP = "[Service]\nTimeoutStopSec=100\n"
HOLD_THE_STORE = """
import sqlite3, sys
store = sqlite3.connect("/var/lib/forewarn/forewarn.sqlite", isolation_level=None)
store.execute("PRAGMA busy_timeout = 9000")
store.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


class Installed:
    """A box with forewarn in it; the interface of the tests to both."""

    def __init__(self, box: SystemdBox) -> None:
        self.box = box
        self.url = f"http://127.0.0.1:{free_port()}"

    def configure(self, hours: int = 30, **changes: Any) -> None:
        """Write a configuration of two simulated servers on a clock that passes a grid time in a second.

        Args:
            hours: of history.
            changes: other keys.
        """
        document = yaml.safe_load(default_text())
        counts = dict.fromkeys(document["sources"][0]["servers"], 0) | {"web_api": 1, "database": 1}
        document |= {
            "data_dir": "/var/lib/forewarn",
            "sources": [{"name": "fleet", "type": "simulator", "servers": counts, "backfill_hours": hours}],
            "clock": {"start": "2026-01-10T00:00:00Z", "speed": SPEED},
            "schedule": {"delay_seconds": 0},
            "http": {"listen": self.url.removeprefix("http://")},
            "training": {"level": "demo", "schedule": None, "triggers": []},
        }
        self.box.write(CONFIG, yaml.safe_dump(document | changes))

    def drop_in(self, text: str) -> None:
        """Change the unit until ``fresh``."""
        self.box.write("/etc/systemd/system/forewarn.service.d/test.conf", text)
        self.box.run("systemctl", "daemon-reload")

    def fresh(self) -> None:
        """Stop the service; delete its state and the changes of its unit."""
        self.box.run("systemctl", "stop", "forewarn")
        self.box.run("rm", "-rf", "/etc/systemd/system/forewarn.service.d")
        self.box.run("sh", "-c", "rm -rf /var/lib/forewarn/*")
        self.box.run("systemctl", "daemon-reload")
        self.box.run("journalctl", "--rotate")
        self.box.run("journalctl", "--vacuum-time=1ms")
        self.configure()

    def start(self) -> float:
        """Start the service; return the seconds until systemd reports it as started."""
        began = time.monotonic()
        self.box.run("systemctl", "start", "forewarn")
        return time.monotonic() - began

    def get(self, path: str) -> httpx.Response:
        """Return the answer of the service to a GET."""
        return httpx.get(self.url + path, timeout=60)

    def alive(self) -> bool:
        """Return whether the service answers."""
        try:
            return self.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str) -> float:
        """Return one value of /metrics."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        assert found, name
        return float(found[1])

    def training(self) -> Any:
        """Return the document of /api/v1/training."""
        return self.get("/api/v1/training").json()

    @property
    def pid(self) -> int:
        """The main process, in the process numbers of the box."""
        return int(self.box.shown("MainPID"))


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdBox]:
    """A booted systemd."""
    with SystemdBox(tmp_path_factory.mktemp("box") / "systemd") as booted:
        yield booted


@pytest.fixture(scope="module")
def installed(box: SystemdBox) -> Installed:
    """A fresh installation with the shipped unit."""
    if box.run("test", "-e", "/opt/forewarn/venv", check=False).returncode:
        box.run(*INSTALL)
    return Installed(box)


@pytest.fixture
def service(installed: Installed) -> Iterator[Installed]:
    """The stopped service, with a configuration for tests and without any state."""
    installed.fresh()
    yield installed
    # the last test has removed it
    installed.box.run("systemctl", "stop", "forewarn", check=False)


def everything(box: SystemdBox) -> str:
    """Return everything that an installation could leave."""
    places = "/opt/forewarn /etc/forewarn /etc/systemd/system/forewarn* /usr/local/bin/forewarn"
    return box.run("sh", "-c", f"ls -d {places}; getent passwd forewarn", check=False).stdout


def test_an_installation_that_fails_leaves_nothing(box: SystemdBox) -> None:
    """Without packages the installer leaves no program, user, folder or unit."""
    nowhere = ("env", "PIP_INDEX_URL=http://127.0.0.1:1/", "PIP_FIND_LINKS=", "PIP_EXTRA_INDEX_URL=", "PIP_RETRIES=0")
    done = box.run(*nowhere, "PIP_CONFIG_FILE=/dev/null", *INSTALL, check=False)
    assert done.returncode != 0
    assert "undoing" in done.stderr
    assert everything(box) == ""


def test_an_installation_is_whole_and_exposes_little(installed: Installed) -> None:
    """The unit passes systemd's checks and has the claimed exposure, also with GPUs; the program is on the path."""
    box, unit = installed.box, "/etc/systemd/system/forewarn.service"
    assert box.run("systemd-analyze", "verify", "--recursive-errors=no", unit).stderr == ""
    assert box.run("systemctl", "is-enabled", "forewarn").stdout == "enabled\n"
    assert box.run("forewarn", "check-config", CONFIG).stdout.startswith(f"{CONFIG}: good.")
    for drop_in in ("", (Path(__file__).parents[2] / "systemd/gpu.conf").read_text()):
        if drop_in:
            installed.drop_in(drop_in)
            assert box.run("systemd-analyze", "verify", "--recursive-errors=no", unit).stderr == ""
        said = box.run("systemd-analyze", "security", "--no-pager", "forewarn").stdout
        exposure = re.search(r"Overall exposure level for forewarn.service: ([\d.]+)", said)
        assert exposure
        assert float(exposure[1]) <= LEAST_EXPOSURE


def test_started_means_that_a_forecast_is_served(service: Installed) -> None:
    """When systemd reports the unit as active, /readyz answers 200 and the first forecast exists."""
    box = service.box
    starting = box.popen("systemctl", "start", "forewarn")
    wait_until(service.alive, 30, "listening")
    while starting.poll() is None:
        active = box.shown("ActiveState") == "active"
        assert not active or service.get("/readyz").status_code == 200
    assert starting.returncode == 0
    assert service.get("/readyz").status_code == 200
    assert service.get("/api/v1/forecasts").json()["total"] > 0
    assert re.match(r"forecast \d+ series of 2 servers from 2026-", box.shown("StatusText"))
    assert service.metric('forewarn_memory_bytes{kind="limit"}') == 4 * 2**30
    assert 0 < service.metric('forewarn_memory_bytes{kind="used"}') < 2**30
    assert not [line for line in service.box.journal().splitlines() if "Traceback" in line]


def test_a_reload_applies_or_fails_visibly(service: Installed) -> None:
    """``systemctl reload`` applies a good file; it fails with a bad one, and the service keeps its configuration."""
    box = service.box
    service.start()
    pid = service.pid
    service.configure(sources=[{"name": "push", "type": "push"}])
    box.run("systemctl", "reload", "forewarn")
    wait_until(lambda: service.metric("forewarn_config_last_reload_successful") == 1, 10, "reload")
    wait_until(lambda: len(box.events("config_reloaded")) == 1, 10, "reload")
    service.configure(schedule={"delay_seconds": 900})
    assert box.run("systemctl", "reload", "forewarn", check=False).returncode != 0
    wait_until(lambda: service.metric("forewarn_config_last_reload_successful") == 0, 10, "refusal")
    assert "schedule.delay_seconds: 900" in box.journal()
    assert (service.pid, box.shown("ActiveState")) == (pid, "active")


def test_a_tick_that_hangs_is_ended_by_the_watchdog(service: Installed) -> None:
    """The service still answers while its tick hangs; systemd restarts it, and the log has the place where it hung."""
    box = service.box
    service.drop_in("[Service]\nWatchdogSec=10\nRestartSec=1\n")
    service.start()
    pid, reached = service.pid, service.metric("forewarn_forecast_age_seconds")
    holder = box.popen("/opt/forewarn/venv/bin/python", "-c", HOLD_THE_STORE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    wait_until(lambda: service.metric("forewarn_forecast_age_seconds") > 2 * 300, 5, "a tick that waits")
    assert service.pid == pid
    wait_until(lambda: service.pid not in (pid, 0), 20, "restart")
    holder.communicate()
    wait_until(lambda: box.shown("ActiveState") == "active" and service.alive(), 40, "a new start")
    journal = box.journal()
    assert "Watchdog timeout (limit 10s)!" in journal
    assert "Fatal Python error: Aborted" in journal
    assert "daemon/store" in journal
    assert box.shown("NRestarts") == "1"
    assert reached < 3 * 300


def test_killed_it_comes_back_with_its_state(service: Installed) -> None:
    """After kill -9 systemd starts the service again, and it does not fetch the stored history again."""
    box = service.box
    service.drop_in("[Service]\nRestartSec=1\n")
    service.start()
    pid = service.pid
    box.run("kill", "-9", str(pid))
    wait_until(lambda: service.pid not in (0, pid), 10, "restart")
    wait_until(lambda: box.shown("ActiveState") == "active", 30, "ready again")
    assert len(box.events("backfill_started")) == 1
    assert service.get("/api/v1/servers").json()["items"][0]["state"] == "known"


def test_a_stop_is_clean(service: Installed) -> None:
    """The service stops by itself with exit status 0, and systemd records a success."""
    service.drop_in(PATIENT_STOP)
    service.start()
    service.box.run("systemctl", "stop", "forewarn")
    assert (service.box.shown("Result"), service.box.shown("ExecMainStatus")) == ("success", "0")


def test_a_stop_is_clean_while_a_model_is_trained(service: Installed) -> None:
    """The training ends with the service, and the next start resumes it."""
    box = service.box
    service.configure(hours=200)
    service.drop_in(PATIENT_STOP)
    service.start()
    httpx.post(service.url + "/api/v1/training", timeout=60)
    wait_until(lambda: service.training()["epoch_share"] is not None, 60, "training")
    box.run("systemctl", "stop", "forewarn")
    assert (box.shown("Result"), box.shown("ExecMainStatus")) == ("success", "0")
    service.start()
    wait_until(lambda: (service.training()["current"] or {}).get("attempt") == 2, 20, "resumed")


def test_the_memory_limit_ends_the_training_and_not_the_service(service: Installed) -> None:
    """The kernel kills the training, the record of the run has the reason, and the service is not restarted."""
    box = service.box
    service.configure(hours=200)
    service.drop_in("[Service]\nMemoryMax=520M\n")
    service.start()
    pid = service.pid
    httpx.post(service.url + "/api/v1/training", timeout=60)
    wait_until(lambda: bool(service.training()["runs"]), 60, "the end of the training")
    (run,) = service.training()["runs"]
    assert run["state"] == "out_of_memory", run
    assert "the kernel killed it" in run["detail"]
    assert (service.pid, box.shown("ActiveState"), box.shown("NRestarts")) == (pid, "active", "0")
    assert service.get("/readyz").status_code == 200


def test_a_boot_while_prometheus_is_down(service: Installed, tmp_path: Path) -> None:
    """The unit stays activating with the reason, is not restarted, and becomes ready when Prometheus is up."""
    require_programs("prometheus", "promtool")
    box = service.box
    (tmp_path / "data").mkdir()
    write_history(node_history(("web-1:9100", "db-1:9100"), HISTORY_END, days=2.5), tmp_path / "data")
    prometheus = RunningPrometheus(folder=tmp_path)
    queries = {"mem_used_pct": "100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)"}
    source = {"name": "p", "type": "prometheus", "url": prometheus.url, "queries": queries, "backfill_hours": 30}
    service.configure(sources=[source], clock={"start": "2026-01-07T12:00:00Z", "speed": 100})
    service.drop_in("[Service]\nTimeoutStartSec=10\n")
    box.run("systemctl", "start", "--no-block", "forewarn")
    wait_until(service.alive, 30, "listening")
    time.sleep(13)  # longer than the limit of the start, which the service has to extend
    assert box.shown("ActiveState") == "activating"
    wait_until(lambda: box.shown("StatusText").startswith("not ready: "), 30, "the first tick")
    assert service.metric("forewarn_ready") == 0
    assert box.shown("NRestarts") == "0"
    prometheus.start()
    try:
        wait_until(lambda: box.shown("ActiveState") == "active", 60, "ready")
        assert service.metric("forewarn_ready") == 1
    finally:
        prometheus.kill()


def test_an_upgrade_keeps_state_and_config_and_one_that_fails_changes_nothing(service: Installed) -> None:
    """The new release uses the state of the old one; with a bad configuration the old release keeps running."""
    box = service.box
    service.start()
    before = box.run("readlink", "/opt/forewarn/venv").stdout
    config = box.run("cat", CONFIG).stdout
    pid = service.pid
    box.write(CONFIG, config.replace("delay_seconds: 0", "delay_seconds: 900"))
    failed = box.run(*INSTALL, check=False)
    assert failed.returncode != 0
    assert "schedule.delay_seconds: 900" in failed.stderr
    assert box.run("readlink", "/opt/forewarn/venv").stdout == before
    assert service.pid == pid
    box.write(CONFIG, config)
    box.run(*INSTALL)
    assert box.run("readlink", "/opt/forewarn/venv").stdout != before
    assert box.run("cat", CONFIG).stdout == config
    wait_until(lambda: box.shown("ActiveState") == "active" and service.alive(), 30, "the new release")
    assert service.pid != pid
    assert len(box.events("backfill_started")) == 1


def test_a_removal_keeps_configuration_and_state(service: Installed) -> None:
    """Without --purge configuration and state stay; with --purge nothing stays."""
    box = service.box
    service.start()
    box.run(REPOSITORY / "deploy/uninstall.sh")
    assert everything(box).split() == ["/etc/forewarn", box.run("getent", "passwd", "forewarn").stdout.strip()]
    box.run("test", "-e", "/var/lib/forewarn/forewarn.sqlite")
    box.run(REPOSITORY / "deploy/uninstall.sh", "--purge")
    assert everything(box) == ""
    assert box.run("test", "-e", "/var/lib/forewarn", check=False).returncode != 0
