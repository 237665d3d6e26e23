"""A running service under requests that a fuzzer makes from its OpenAPI document, well-formed and not."""

import json
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from daemon.config.loading import default_text
from daemon.core.series import as_text, floor_to_grid
from tests.servers.forewarn import RunningForewarn
from tests.servers.processes import free_port

NOBODY = {"conductor_mgmt": 0, "data_ingest": 0, "risk_analytics": 0, "generic": 0}
EXAMPLES = 20
GARBLED = 500
# a push may be of its form and all the same have nothing in it that is configured, or in time
RULES = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 404, 409]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningForewarn]:
    """Three simulated servers with two days of history, and pushes; one training may begin, and will find too little.

    Its clock runs as ours does, so that ticks take no time of the fuzzer's.
    """
    path = tmp_path_factory.mktemp("fuzzed") / "config.yaml"
    document = yaml.safe_load(default_text())
    servers = {"ml_compute": 1, "database": 1, "web_api": 1} | NOBODY
    fleet = {"name": "fleet", "type": "simulator", "servers": servers, "backfill_hours": 48}
    document |= {
        "data_dir": "data",
        "sources": [fleet, {"name": "push", "type": "push"}],
        "schedule": {"delay_seconds": 0},
        "http": {"listen": f"127.0.0.1:{free_port()}", "requests_per_minute": 0},
        "logging": {"format": "json", "level": "debug"},
        "training": {"level": "demo", "schedule": None, "triggers": [], "max_runs_per_day": 1},
    }
    path.write_text(yaml.safe_dump(document))
    with RunningForewarn(path) as running:
        yield running


def fuzz(service: RunningForewarn, *options: str) -> subprocess.CompletedProcess[str]:
    """Ask for every operation in every way that the fuzzer knows; what was asked and answered is in requests.har."""
    folder = service.config.parent
    rules = folder / "schemathesis.toml"
    rules.write_text(RULES)
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", rules, "run"]
    command += [f"{service.url}/openapi.json", "--seed", "0", "--workers", "1", "--no-color", "--continue-on-failure"]
    command += ["--phases", "examples,coverage,fuzzing", "--report-har-path", folder / "requests.har", *options]
    # in a folder of its own, as it keeps what it found in the present one and begins with that the next time
    return subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=200, check=False)


def test_no_request_breaks_the_service(service: RunningForewarn) -> None:
    """No answer is a failure of the server's, each is as the document says, and none shows what is inside."""
    done = fuzz(service, "--max-examples", str(EXAMPLES))
    assert done.returncode == 0, done.stdout[-6000:]
    entries = json.loads((service.config.parent / "requests.har").read_text())["log"]["entries"]
    answers = [entry["response"] for entry in entries]
    operations = [
        (path, method) for path, each in service.get("/openapi.json").json()["paths"].items() for method in each
    ]
    print(f"\n{len(answers)} requests for {len(operations)} operations")
    asked = {(entry["request"]["method"].lower(), entry["request"]["url"].split("?")[0]) for entry in entries}
    fixed = {(method, service.url + path) for path, method in operations if "{" not in path}
    assert fixed <= asked
    assert len(answers) > 400
    assert {answer["status"] for answer in answers if answer["status"] >= 500} == set()
    assert not [answer for answer in answers if "Traceback" in answer["content"].get("text", "")]
    assert "Traceback" not in service.log.read_text()
    assert not service.events("request_failed")
    assert not service.events("tick_failed")
    assert service.ready


def test_names_that_are_no_text_do_not_break_an_answer(service: RunningForewarn) -> None:
    """Half a character, and a NUL, in every place where a push or a path has a name."""
    odd = ("\ud800", "a\x00b", "\u202e")
    at = as_text(floor_to_grid(time.time()))
    for name in odd:
        good = {"timestamp": at, "server": "pushed", "mem_used_pct": 1.0}
        bad = [{**good, "server": name}, {**good, name: 1}, {**good, "profile": name}, {**good, "timestamp": name}]
        answer = service.post("/api/v1/metrics", [good, *bad])
        assert answer.status == 200, answer.text
        assert answer.json()["rejected"] >= 2
    for path in ("%ED%A0%80", "%00", "%FF", "..%2F..", "%"):
        assert service.get(f"/api/v1/servers/{path}").status == 404
    assert not service.events("request_failed")


def garbled(rng: random.Random) -> bytes:
    """Return a request with some of its bytes exchanged, doubled or left out; now and then none that was one."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(1, 2000))
    body = b'[{"timestamp": "2026-01-05T00:00:00Z", "server": "a", "mem_used_pct": 1}]'
    head = b"POST /api/v1/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    text = bytearray(head % len(body) + body)
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(len(text))
        text[at : at + rng.randrange(3)] = rng.choice((b"", rng.randbytes(1), b"\r\n", b"\x00", bytes(text[:at])))
    return bytes(text)


def test_bytes_that_are_no_request_are_refused_and_harm_nothing(service: RunningForewarn) -> None:
    """Each connection gets a refusal or is closed, nothing is written as a failure of ours, and the next is served."""
    rng, port = random.Random(0), int(service.url.rpartition(":")[2])
    statuses: Counter[bytes] = Counter()
    for _ in range(GARBLED):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(ConnectionError):
            connection.sendall(garbled(rng))
            connection.shutdown(socket.SHUT_WR)
            statuses[connection.makefile("rb").readline()[9:10]] += 1
    print(f"\n{dict(statuses)}")
    assert set(statuses) <= {b"2", b"4", b""}
    assert statuses[b"4"] > GARBLED / 4
    assert "Traceback" not in service.log.read_text()
    assert not service.events("request_failed")
    assert service.ready
