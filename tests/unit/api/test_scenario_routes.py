from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from daemon.api.app import create_app
from daemon.api.scenarios import add_scenarios
from daemon.api.security import Authentication, WebAccess
from daemon.api.snapshot_cache import SnapshotCache
from daemon.api.telemetry import PrometheusTelemetry
from daemon.config.schema import ExpositionConfig
from daemon.simulation.scenario import MOST_ACTIVE, Scenarios
from tests.fakes.source import FakeClock

NOON = 1_767_614_400  # 2026-01-05T12:00:00Z
SERVERS = {"db-01": "database", "web-01": "web_api", "web-02": "web_api"}
KINDS = "healthy, degrading, critical, cascade, memory_leak, disk_fill, traffic_surge"


class Rig:
    """The routes in the application, over scenarios of three servers."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(NOON + 30)
        self.scenarios = Scenarios(folder / "scenarios.json", self.clock.now)
        self.scenarios.reconfigure(SERVERS)
        telemetry, snapshots = PrometheusTelemetry(self.clock), SnapshotCache(self.clock, {}, ExpositionConfig())
        access = WebAccess(None)
        app = create_app(
            snapshots,
            telemetry,
            lambda: None,
            reload=lambda: None,
            authentication=Authentication(None, dict),
            access=access,
        )
        add_scenarios(app, self.scenarios)
        self.client = TestClient(app, raise_server_exceptions=False)

    def ask(self, method: str, path: str = "", status: int = 200, **options: Any) -> Any:
        answer = self.client.request(method, f"/api/v1/scenarios{path}", **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, status: int = 201, **document: Any) -> Any:
        return self.ask("POST", status=status, json=document)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_scenario_is_posted_listed_and_cancelled(rig: Rig) -> None:
    """Each answer is the scenario as it stands then."""
    posted = rig.post(kind="memory_leak", servers=["web-02"], ramp_minutes=90, duration_minutes=180)
    assert posted == {
        "id": "memory_leak-1",
        "kind": "memory_leak",
        "state": "waiting",
        "cancelled": False,
        "servers": ["web-02"],
        "released": [],
        "posted": "2026-01-05T12:00:30Z",
        "start": "2026-01-05T12:05:00Z",
        "ramp_minutes": 90.0,
        "until": "2026-01-05T15:00:00Z",
    }
    rig.clock.time = NOON + 3600
    active = {**posted, "state": "active"}
    assert rig.ask("GET") == {"total": 1, "offset": 0, "items": [active]}
    ended = {**posted, "state": "recovering", "cancelled": True, "until": "2026-01-05T13:00:00Z"}
    assert rig.ask("DELETE", "/memory_leak-1") == ended
    rig.clock.time += 1200
    assert rig.ask("GET")["items"] == [{**ended, "state": "ended"}]


def test_the_list_is_paged_newest_first(rig: Rig) -> None:
    """Each page says how many there are."""
    for kind in ("critical", "cascade", "healthy"):
        rig.post(kind=kind)
    page = rig.ask("GET", params={"limit": 1, "offset": 1})
    assert (page["total"], page["offset"], [item["id"] for item in page["items"]]) == (3, 1, ["cascade-2"])
    newest = rig.ask("GET", params={"limit": 1})["items"]
    assert (newest[0]["id"], newest[0]["servers"]) == ("healthy-3", list(SERVERS))


@pytest.mark.parametrize(
    ("document", "status", "said"),
    [
        ({"kind": "meteor"}, 422, f"body.kind: Value error, 'meteor' is no kind of scenario; use {KINDS}"),
        ({"kind": ["healthy"]}, 422, "is no kind of scenario"),
        ({}, 422, "body.kind: Field required"),
        ({"kind": "critical", "servers": ["web-03"]}, 400, "'web-03': no simulated server; use db-01, web-01, web-02"),
        ({"kind": "critical", "servers": []}, 422, "body.servers"),
        (
            {"kind": "critical", "profile": "web"},
            400,
            "'web': no simulated server has that profile; use database, web_api",
        ),
        ({"kind": "critical", "profile": "web_api", "servers": ["web-01"]}, 400, "not both"),
        ({"kind": "disk_fill"}, 400, "disk_fill needs servers or a profile"),
        ({"kind": "critical", "ramp_minutes": 0}, 422, "body.ramp_minutes"),
        ({"kind": "critical", "ramp_minutes": 10081}, 422, "body.ramp_minutes"),
        ({"kind": "critical", "ramp_minutes": True}, 422, "body.ramp_minutes"),
        ({"kind": "critical", "duration_minutes": "60"}, 422, "body.duration_minutes"),
        ({"kind": "critical", "minutes": 60}, 422, "body.minutes"),
    ],
)
def test_what_cannot_be_is_refused_by_name(rig: Rig, document: dict[str, Any], status: int, said: str) -> None:
    """The answer names the value and the choices, and nothing begins."""
    answer = rig.ask("POST", status=status, json=document)
    assert said in answer["error"] + answer["detail"]
    assert rig.ask("GET")["total"] == 0


def test_numbers_that_are_none_are_refused(rig: Rig) -> None:
    """JSON knows no infinity, but its readers do."""
    for number in ("NaN", "Infinity", "1e999"):
        body = f'{{"kind": "critical", "ramp_minutes": {number}}}'
        rig.ask("POST", status=422, content=body, headers={"Content-Type": "application/json"})


def test_too_many_are_refused_until_one_ends(rig: Rig) -> None:
    """409 says how many may be."""
    names = [rig.post(kind="critical")["id"] for _ in range(MOST_ACTIVE)]
    assert f"the maximum is {MOST_ACTIVE}" in rig.post(kind="critical", status=409)["error"]
    rig.ask("DELETE", f"/{names[0]}")
    rig.post(kind="critical")


def test_an_ending_of_what_is_not_there_or_over_is_refused(rig: Rig) -> None:
    """404 for an id that is none, whatever its characters; 409 for one that has ended."""
    for name in ("cascade-1", "%ED%A0%80", "%00"):
        rig.ask("DELETE", f"/{name}", status=404)
    name = rig.post(kind="critical")["id"]
    rig.ask("DELETE", f"/{name}")
    assert "has ended" in rig.ask("DELETE", f"/{name}", status=409)["error"]


def test_without_a_simulator_every_path_says_so(rig: Rig) -> None:
    """404, as there is nothing that a scenario could happen to."""
    rig.scenarios.reconfigure({})
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/critical-1")):
        answer = rig.ask(method, path, 404, json={"kind": "critical"} if method == "POST" else None)
        assert "no source is of type simulator" in answer["error"]


def test_a_full_disk_is_503(rig: Rig, tmp_path: Path) -> None:
    """What cannot be kept does not begin."""
    (tmp_path / "scenarios.json").mkdir()
    assert "scenarios.json" in rig.post(kind="critical", status=503)["detail"]
    assert rig.ask("GET")["total"] == 0


def test_a_page_of_another_site_may_not_make_trouble(rig: Rig) -> None:
    """A browser that sends its form here is refused."""
    rig.ask("POST", status=403, json={"kind": "critical"}, headers={"Origin": "http://elsewhere.example"})
    assert rig.ask("GET")["total"] == 0
