"""Secrets in every place of a configuration that can hold one, and a service whose every server fails."""

import base64
import os
import signal
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import bcrypt
import httpx
import pytest
import yaml

from daemon.core.series import as_text, parse_time
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.forewarn import RunningForewarn, change_config, forewarn
from tests.servers.processes import free_port, wait_until

NOBODY = {"conductor_mgmt": 0, "data_ingest": 0, "risk_analytics": 0, "generic": 0}
FLEET = {
    "name": "fleet",
    "type": "simulator",
    "servers": {"ml_compute": 1, "database": 1, "web_api": 1} | NOBODY,
    "backfill_hours": 30,
}


class Planted:
    """Generate secrets and find them in texts."""

    def __init__(self) -> None:
        self._made: dict[str, str] = {}

    def make(self, where: str) -> str:
        """Return a new secret and record its place."""
        secret = f"hush{len(self._made)}x5ecret"
        self._made[where] = secret
        return secret

    def keep(self, where: str, secret: str) -> str:
        """Record one more secret to find."""
        self._made[where] = secret
        return secret

    def found_in(self, text: str) -> list[str]:
        """Return the places whose secrets stand in ``text``, plain or as basic authentication sends them."""
        return [where for where, secret in self._made.items() if secret in text]


class _Unwilling(BaseHTTPRequestHandler):
    """Refuse each request in another way: 401, a redirect to a login, 500, or no answer."""

    turns = count()

    def do_POST(self) -> None:
        turn = next(self.turns) % 4
        if turn == 3:
            return
        self.send_response((401, 302, 500)[turn])
        if turn == 1:
            self.send_header("Location", f"{self.path}&login")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def unwilling() -> Iterator[str]:
    """Host and port of a server that never serves."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Unwilling)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def planted() -> Planted:
    """The secrets of this test."""
    return Planted()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """The listener's."""
    return make_certificates(tmp_path / "certificates")


def accesses(kind: str, folder: Path, planted: Planted, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return every kind of credentials for a server."""

    def in_file(name: str) -> str:
        path = folder / f"{kind}-{name}"
        path.write_text(planted.make(f"{kind} {name}"))
        return str(path)

    def in_environment(name: str) -> str:
        variable = f"FOREWARN_TEST_{kind}_{name}".upper()
        monkeypatch.setenv(variable, planted.make(f"{kind} {name}"))
        return f"${{{variable}}}"

    password = planted.make(f"{kind} password")
    planted.keep(f"{kind} basic", base64.b64encode(f"forewarn:{password}".encode()).decode())
    broken = planted.make(f"{kind} token with a line break")
    return [
        {"basic_auth": {"username": "forewarn", "password": password}},
        {"basic_auth": {"username": "forewarn", "password_file": in_file("password_file")}},
        {"bearer_token": in_environment("bearer_token")},
        {"bearer_token": f"{broken}\n{broken}"},
        {"bearer_token_file": in_file("bearer_token_file")},
        {"bearer_token_file": f"${{CREDENTIALS_DIRECTORY}}/{Path(in_file('credential')).name}"},
        {"headers": {"X-Api-Key": planted.make(f"{kind} header")}},
    ]


def servers(kind: str, address: str, planted: Planted, ways: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a configured server for each kind of credentials, one of them in the URL; half of the servers are down."""
    user, query = planted.make(f"{kind} user information"), planted.make(f"{kind} query")
    closed = f"127.0.0.1:{free_port()}"
    listed = [{"url": f"http://{address if index % 2 else closed}", **way} for index, way in enumerate(ways)]
    listed += [{"url": f"http://forewarn:{user}@{each}/?token={query}"} for each in (address, closed)]
    return [{"name": f"{kind}-{index}", "timeout_seconds": 1, **each} for index, each in enumerate(listed)]


@pytest.fixture
def config(
    tmp_path: Path, unwilling: str, planted: Planted, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A configuration with a secret in every place that accepts one; every server of the service fails."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "token").write_text(planted.make("http.bearer_token_file"))
    hashed = bcrypt.hashpw(planted.make("basic_auth_users password").encode(), bcrypt.gensalt(4)).decode()
    for number, line in enumerate(certificates.key.read_text().splitlines()[1:-1]):
        planted.keep(f"line {number} of the key", line)
    web = {
        "tls_server_config": {"cert_file": str(certificates.cert), "key_file": str(certificates.key)},
        "basic_auth_users": {"alice": planted.keep("basic_auth_users hash", hashed)},
    }
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(web))
    sources = servers("prometheus", unwilling, planted, accesses("prometheus", tmp_path, planted, monkeypatch))
    for source in sources:
        source |= {"type": "prometheus", "queries": {"mem_used_pct": "up"}, "deadline_seconds": 1}
    targets = servers("alertmanager", unwilling, planted, accesses("alertmanager", tmp_path, planted, monkeypatch))
    document = {
        "data_dir": "data",
        "sources": [FLEET, *sources, {"name": "push", "type": "push"}],
        "metrics": {"mem_used_pct": {"unit": "%", "minimum": 0, "maximum": 100, "critical": 95}},
        "schedule": {"delay_seconds": 0},
        "clock": {"start": "2026-01-10T00:00:00Z", "speed": 60},
        "alerting": {"alertmanagers": targets, "raise_ticks": 1, "raise_window": 1},
        "http": {
            "listen": f"127.0.0.1:{free_port()}",
            "bearer_token_file": "${CREDENTIALS_DIRECTORY}/token",
            "web_config_file": "web.yaml",
        },
        "logging": {"format": "json", "level": "debug"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def failed(service: RunningForewarn, event: str, key: str) -> set[str]:
    return {line[key] for line in service.events(event)}


def raise_an_alert(client: httpx.Client, token: str) -> None:
    """Let a server have been silent for three hours; that no source fails meanwhile is what the alert needs."""
    allowed = {"Authorization": f"Bearer {token}"}
    wait_until(lambda: client.get("/readyz").status_code == 200, 30, "ready")
    now = parse_time(client.get("/api/v1/status", headers=allowed).json()["at"])
    record = {"timestamp": as_text(now - 3 * 3600), "server": "silent", "mem_used_pct": 40.0}
    assert client.post("/api/v1/metrics", json=[record], headers=allowed).status_code == 200


def answers_of(client: httpx.Client, token: str) -> dict[str, str]:
    """Request every path, with and without valid credentials; return the answers with their headers."""
    allowed = {"Authorization": f"Bearer {token}"}
    paths = client.get("/openapi.json", headers=allowed).json()["paths"]
    asked = [path.replace("{server}", "nobody") for path, methods in paths.items() if "get" in methods]
    asked += ["/docs", "/docs/start.js", "/openapi.json", "/nowhere", "/api/v1/forecasts?limit=x"]
    answers = [(path, client.get(path, headers=allowed)) for path in asked]
    answers += [(f"{path} as nobody", client.get(path)) for path in asked]
    answers += [("wrong user", client.get("/metrics", auth=("alice", "wrong"))), ("wrong", client.get("/metrics"))]
    answers += [("push", client.post("/api/v1/metrics", content="{", headers=allowed))]
    answers += [("training", client.request("DELETE", "/api/v1/training", headers=allowed))]
    assert {answer.status_code for _, answer in answers} >= {200, 400, 401, 404, 409, 422}
    return {what: f"{answer.headers}\n{answer.text}" for what, answer in answers}


def test_no_secret_shows_anywhere(config: Path, planted: Planted, certificates: Certificates) -> None:
    """No log line, answer or metric has a secret, whatever fails; neither has the error for a broken file."""
    token = (config.parent / "token").read_text()
    service = RunningForewarn(config, ready=False)
    service.url = service.url.replace("http:", "https:")
    trusted = ssl.create_default_context(cafile=str(certificates.ca))
    sources = yaml.safe_load(config.read_text())["sources"]
    failing = {source["name"] for source in sources} - {"fleet", "push"}
    change_config(config, {"sources": [source for source in sources if source["name"] not in failing]})
    with service, httpx.Client(base_url=service.url, verify=trusted, timeout=30) as client:
        raise_an_alert(client, token)
        targets = {name.replace("prometheus", "alertmanager") for name in failing}
        wait_until(lambda: failed(service, "notifier_unavailable", "target") >= targets, 60, "failed Alertmanagers")
        change_config(config, {"sources": sources})
        assert client.post("/-/reload", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        wait_until(lambda: failed(service, "source_unavailable", "source") >= failing, 60, "failed sources")
        allowed = {"Authorization": f"Bearer {token}"}

        def shown_as_failed() -> set[str]:
            sources = client.get("/api/v1/status", headers=allowed).json()["sources"]
            return {source["name"] for source in sources if source["error"]}

        wait_until(lambda: shown_as_failed() >= failing, 60, "failed sources in the status")
        answers = answers_of(client, token)
        good = config.read_text()
        change_config(config, {"schedule": {"delay_seconds": "long"}, "logging": {"level": "loud"}})
        answers["reload"] = client.post("/-/reload", headers={"Authorization": f"Bearer {token}"}).text
        os.kill(service.pid, signal.SIGHUP)
        answers["check of a broken one"] = forewarn("check-config", config, folder=config.parent, status=None).stderr
        assert "delay_seconds" in answers["reload"]
        assert "delay_seconds" in answers["check of a broken one"]
        config.write_text(f"{good}\nsecond: *{token}")
        answers["reload of no YAML"] = client.post("/-/reload", headers={"Authorization": f"Bearer {token}"}).text
        config.write_text(good)
        answers["check"] = forewarn("check-config", config, folder=config.parent, status=None).stdout
        assert "good" in answers["check"]
        (config.parent / "web.yaml").write_text(f"basic_auth_users: {{alice: {token}}}")
        answers["broken users"] = client.get("/metrics").text
        assert service.events("web_config_refused")
        (config.parent / "token").unlink()
        unreadable = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        assert unreadable.status_code == 503
        answers["no token"] = unreadable.text
        assert len(service.events("config_refused")) == 3
    answers["log"] = service.log.read_text()
    assert {what: planted.found_in(text) for what, text in answers.items() if planted.found_in(text)} == {}


def test_the_password_of_a_store_that_cannot_be_reached_is_not_shown(
    config: Path, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the start nor ``check-config`` shows the password, wherever it is in the URL."""
    monkeypatch.setenv("FOREWARN_TEST_STORE", planted.make("store password"))
    query = planted.make("store query")
    for url in (
        f"postgresql+psycopg://forewarn:${{FOREWARN_TEST_STORE}}@127.0.0.1:{free_port()}/history",
        f"postgresql+psycopg://forewarn@127.0.0.1:{free_port()}/history?password={query}",
        "postgresql+psycopg://forewarn:${FOREWARN_TEST_STORE}@127.0.0.1:port/history",
        "oracle://forewarn:${FOREWARN_TEST_STORE}@127.0.0.1/history",
    ):
        change_config(config, {"store": {"url": url}})
        checked = forewarn("check-config", config, folder=config.parent)
        started = forewarn("run", "--config", config, folder=config.parent, status=1)
        assert "store" in started.stderr
        assert planted.found_in(checked.stdout + checked.stderr + started.stdout + started.stderr) == []
