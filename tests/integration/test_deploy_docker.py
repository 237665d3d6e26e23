"""The shipped files for Docker, checked as far as possible without a Docker engine."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from daemon.config.loading import load_config
from tests.servers.forewarn import forewarn
from tests.servers.processes import Process, answers, free_port, require_programs

TOP = Path(__file__).parents[2]
DOCKER = TOP / "deploy" / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SEEN_IN_A_CONTAINER = {"net_in_mb_s", "net_out_mb_s", "tcp_close_wait"}


def instructions(name: str) -> list[str]:
    """Return the arguments of each ``name`` in the Dockerfile, in order."""
    text = re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text())
    return [line.removeprefix(name).strip() for line in text.splitlines() if line.startswith(f"{name} ")]


def mounts() -> list[tuple[str, str, str]]:
    """Return service, source and target of every mount from the host."""
    found = [(name, *mount.split(":")[:2]) for name, each in SERVICES.items() for mount in each.get("volumes", ())]
    return [mount for mount in found if mount[1] not in COMPOSE["volumes"]]


def test_compose_accepts_the_file() -> None:
    """``docker-compose config``, which needs no engine, accepts the file."""
    require_programs("docker-compose")
    # the version in Debian is older than this key
    known = {key: value for key, value in COMPOSE.items() if key != "name"}
    command = ["docker-compose", "--project-directory", str(DOCKER), "--file", "-", "config"]
    done = subprocess.run(command, input=json.dumps(known), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(SERVICES)


def test_what_is_mounted_is_there() -> None:
    """Every mounted file and folder is in the repository; git ignores the generated secrets."""
    assert mounts()
    for service, source, _ in mounts():
        assert source == "/" or (DOCKER / source).exists(), f"{service}: {source}"
    assert COMPOSE["secrets"]
    for secret in COMPOSE["secrets"].values():
        ignored = subprocess.run(["git", "check-ignore", DOCKER / secret["file"]], cwd=TOP, check=False)
        assert ignored.returncode == 0, secret


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_confined_and_monitored(name: str) -> None:
    """Versions are pinned, ports are on loopback, no container has privileges or a writable root."""
    service = SERVICES[name]
    if "build" not in service:
        assert re.fullmatch(r"[a-z-]+/[a-z-]+:v?\d+\.\d+\.\d+", service["image"])
        assert service["healthcheck"]["test"][0] == "CMD"
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in service.get("ports", ()))
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(service.get("depends_on", ())) <= set(SERVICES)


def test_the_configuration_of_forewarn_is_good(tmp_path: Path) -> None:
    """``check-config`` accepts the file, and every host, path and port in it is in the composition."""
    assert "good" in forewarn("check-config", DOCKER / "forewarn.yaml", folder=tmp_path).stdout
    config = load_config(DOCKER / "forewarn.yaml")
    document = yaml.safe_load((DOCKER / "forewarn.yaml").read_text())
    (source,), (alertmanager,) = document["sources"], document["alerting"]["alertmanagers"]
    assert [urlsplit(each["url"]).hostname in SERVICES for each in (source, alertmanager)] == [True, True]
    assert f"{config.data_dir}" in {volume.split(":")[1] for volume in SERVICES["forewarn"]["volumes"]}
    assert config.http.bearer_token_file == Path("/run/secrets/forewarn-token")
    assert SERVICES["forewarn"]["secrets"] == ["forewarn-token"]
    assert SERVICES["forewarn"]["ports"] == [f"127.0.0.1:{config.http.port}:{config.http.port}"]


def test_the_queries_are_those_that_init_writes() -> None:
    """The queries and metrics equal those of ``forewarn init``."""
    packaged = yaml.safe_load((TOP / "daemon" / "config" / "exporters.yaml").read_text())["node_exporter"]["metrics"]
    document = yaml.safe_load((DOCKER / "forewarn.yaml").read_text())
    defaults = yaml.safe_load((TOP / "daemon" / "config" / "default.yaml").read_text())["metrics"]
    wanted = {name: each["query"] for name, each in packaged.items() if name not in SEEN_IN_A_CONTAINER}
    assert document["sources"][0]["queries"] == wanted
    assert document["metrics"] == {name: defaults[name] for name in wanted}


def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    """With the paths of the containers promtool finds the rules and the secret."""
    require_programs("promtool")
    at = {target: DOCKER / source for service, source, target in mounts() if service == "prometheus"}
    token = tmp_path / "forewarn-token"
    token.write_text("secret\n")
    text = at["/etc/prometheus/prometheus.yml"].read_text()
    assert "/run/secrets/forewarn-token" in text
    assert "forewarn-token" in SERVICES["prometheus"]["secrets"]
    (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets/forewarn-token", str(token)))
    shutil.copytree(at["/etc/prometheus/rules"], tmp_path / "rules")
    done = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS: 1 rule files found" in done.stdout


def test_prometheus_reaches_the_other_services() -> None:
    """Every target is a service of the composition; jobs and relabelling fit the shipped rules."""
    document = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    shipped = yaml.safe_load((TOP / "deploy" / "prometheus" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    managers = document["alerting"]["alertmanagers"]
    targets = [each for job in [*jobs.values(), *managers] for each in job["static_configs"][0]["targets"]]
    assert {target.split(":")[0] for target in targets} == {"forewarn", "node-exporter", "alertmanager"}
    assert "forewarn" in jobs
    assert document["alerting"]["alert_relabel_configs"] == shipped["alerting"]["alert_relabel_configs"]


def test_amtool_accepts_the_configuration() -> None:
    """Amtool accepts the mounted configuration of Alertmanager."""
    require_programs("amtool")
    (config,) = [source for service, source, _ in mounts() if service == "alertmanager"]
    done = subprocess.run(["amtool", "check-config", DOCKER / config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_asks_the_prometheus_of_the_composition() -> None:
    """The one data source is the default, and its address is a service."""
    (source,) = yaml.safe_load((DOCKER / "grafana" / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert urlsplit(source["url"]).hostname == "prometheus"


def test_the_image_gets_what_it_copies() -> None:
    """Each source of a COPY is in the repository and in the build context."""
    sources = [each for copy in instructions("COPY") if not copy.startswith("--from") for each in copy.split()[:-1]]
    let_in = [
        line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    assert sorted(sources) == sorted(let_in)
    assert all((TOP / each).exists() for each in sources)
    build = SERVICES["forewarn"]["build"]
    assert (DOCKER / build["context"]).resolve() == TOP
    assert (TOP / build["dockerfile"]).is_file()


def test_the_image_installs_what_the_makefile_does() -> None:
    """Both install torch first, then forewarn, with the same constraints."""

    def arguments(command: list[str]) -> list[str]:
        rest = command[command.index("install") + 1 :]
        # the image needs no link to its source, and has the PostgreSQL driver, like the installer
        return [each.replace("[postgresql]", "") for each in rest if each not in ("--quiet", "--editable")]

    rule = (TOP / "Makefile").read_text().split("$(VENV)/.installed:")[1].split("\n\n")[0]
    made = [arguments(line.split()) for line in rule.splitlines() if " pip install " in line]
    image = [arguments(json.loads(run)) for run in instructions("RUN") if '"install", "--quiet"' in run]
    assert made == image == [["--constraint", "constraints.txt", each] for each in ("torch", ".")]


def test_the_image_runs_without_root_and_without_a_shell() -> None:
    """Commands run without a shell, so signals reach the service; its user is a number other than 0."""
    for name in ("RUN", "ENTRYPOINT", "CMD"):
        assert {type(json.loads(each)) for each in instructions(name)} == {list}, name
    (user,) = instructions("USER")
    assert re.fullmatch(r"([1-9]\d+):\1", user)
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("VOLUME") == ["/var/lib/forewarn"]
    assert instructions("FROM")
    assert all(re.match(r"python:3\.(1[1-9])\.\d+-slim-\w+", each) for each in instructions("FROM"))
    done = forewarn(*json.loads(*instructions("CMD"))[:1], "--help", folder=TOP)
    assert "--config" in done.stdout


def test_the_health_check_follows_healthz(tmp_path: Path) -> None:
    """The command ends with status 0 if /healthz answers, and with another status if no server answers."""
    port = free_port()
    (check,) = instructions("HEALTHCHECK")
    _, option, code = json.loads(check.split("CMD ")[1])
    command = [sys.executable, option, code.replace(":9855/", f":{port}/")]
    (tmp_path / "healthz").write_text("{}")
    serve = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    process = Process(serve, tmp_path / "log")
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0
    process.start(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
    try:
        assert subprocess.run(command, check=False).returncode == 0
    finally:
        process.stop()
