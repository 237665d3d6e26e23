import subprocess
import sys
from pathlib import Path

import pytest

from daemon.config.loading import default_text, load_config, parse_config
from daemon.config.schema import Config
from daemon.core.errors import ConfigError
from daemon.core.metric import Direction, Thresholds

SMALL = """
sources:
  - {name: simulator, type: simulator}
metrics:
  cpu: {minimum: 0, maximum: 100, warning: 80, critical: 95, profiles: {database: {warning: 90}}}
"""


def parse(text: str) -> Config:
    return parse_config(text, "x.yaml", Path("/etc/forewarn"))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value.problems


def alertmanagers(entries: str) -> str:
    return f"alerting: {{alertmanagers: [{entries}]}}\n"


def simulator(entries: str) -> str:
    return SMALL.replace("type: simulator}", f"type: simulator, {entries}}}")


def test_shipped_config_works_as_it_stands() -> None:
    """The commented example at the top of the repository is the packaged default and is valid."""
    path = Path(__file__).parents[3] / "config.yaml"
    assert path.read_text(encoding="utf-8") == default_text()
    assert len(load_config(path).metrics) == 14


def test_metrics_become_domain_records() -> None:
    """Range, direction and thresholds per profile reach the code."""
    metric = parse(SMALL).domain_metrics()["cpu"]
    assert (metric.minimum, metric.maximum, metric.direction) == (0, 100, Direction.ABOVE)
    assert metric.thresholds == Thresholds(80, 95)
    assert metric.profile_thresholds == {"database": Thresholds(90, None)}
    hinted = SMALL.replace("{minimum", "{hint: the largest processes, minimum")
    assert parse(hinted).domain_metrics()["cpu"].hint == "the largest processes"


def test_a_metric_has_a_display_name() -> None:
    """The packaged metrics have one; without it the name is used."""
    assert parse(SMALL).domain_metrics()["cpu"].title == "cpu"
    titles = {name: metric.title for name, metric in parse(default_text()).domain_metrics().items()}
    assert titles["mem_used_pct"] == "Memory used"
    assert all(name != title for name, title in titles.items())


def test_relative_paths_are_relative_to_the_file() -> None:
    """A service started from anywhere finds the same store."""
    config = parse(SMALL + "data_dir: state\n")
    assert config.store_url == "sqlite:////etc/forewarn/state/forewarn.sqlite"
    assert config.models_dir == Path("/etc/forewarn/state/models")
    alerted = parse(SMALL + alertmanagers("{name: a, url: 'http://a', tls: {ca_file: ca.pem}}"))
    assert alerted.alerting.alertmanagers[0].tls.ca_file == Path("/etc/forewarn/ca.pem")


def test_all_problems_are_named_at_once() -> None:
    """Each problem has its key path, its value and the fix."""
    found = problems(
        """
        timezon: UTC
        timezone: Mars/Olympus
        data_dir: 3
        sources:
          - {name: a b, type: prometeus}
          - {name: p, type: prometheus, url: "not a url", querys: {}, tls: {ca_fil: x}}
        metrics:
          cpu: {warning: ninety, directon: up}
          mem: {warning: 90, critical: 80}
        http: {listen: "0.0.0.0:9855"}
        logging: {level: inf}
        store: {url: "${FOREWARN_NOT_SET}"}
        """
    )
    for expected in (
        "timezon: unknown key; did you mean timezone?",
        "timezone: 'Mars/Olympus': not an IANA time zone",
        "data_dir: 3:",
        "sources[0].type: 'prometeus': should be one of",
        "did you mean prometheus?",
        "sources[1].url: 'not a url'",
        "sources[1].querys: unknown key; did you mean queries?",
        "sources[1].queries: missing",
        "sources[1].tls.ca_fil: unknown key; did you mean ca_file?",
        "metrics.cpu.warning: 'ninety'",
        "metrics.cpu.directon: unknown key; did you mean direction?",
        "metrics.mem: with direction above, a warning at 90 would come after critical at 80",
        "http: listen 0.0.0.0:9855 is not loopback",
        "logging.level: 'inf'",
        "store.url: ${FOREWARN_NOT_SET} is not set; export FOREWARN_NOT_SET",
    ):
        assert any(expected in problem for problem in found), (expected, found)
    assert all(problem.startswith("x.yaml: ") for problem in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected keys such as sources: and metrics:"),
        ("- a\n- b", "expected keys such as sources: and metrics:"),
        ("a: [", "not YAML"),
        ("timezone: UTC\ntimezone: UTC\n", "duplicate key 'timezone'"),
        (SMALL + "training: {level: prodution}\n", "did you mean production?"),
        (SMALL.replace("simulator}", "simulator, servers: {generic: -1}}"), "sources[0].servers.generic: -1"),
        (simulator("incidents: {memory_leek: {}}"), "sources[0].incidents.memory_leek"),
        (simulator("incidents: {memory_leek: {}}"), "did you mean memory_leak?"),
        (simulator("incidents: {disk_fill: {ramp_hour: 3}}"), "disk_fill.ramp_hour: unknown key; did you mean"),
        (simulator("incidents: {disk_fill: {ramp_hours: [3, 2]}}"), "ramp_hours: 3 is more than 2; write the shortest"),
        (simulator("incidents: {disk_fill: {hold_hours: [0, 2]}}"), "incidents.disk_fill.hold_hours"),
        (simulator("incidents: {cascade: {repair_chance: 1}}"), "only its weight can be set"),
        (simulator("holidays: ['1-1']"), "'1-1' is not a day of the year; write it as MM-DD"),
        (simulator("incidents_per_server_week: 6"), "sources[0].incidents_per_server_week: 6"),
        (SMALL.replace("metrics:", "metrics: {}\nx:"), "metrics"),
        (SMALL + "http: {listen: localhost}\n", "write it as address:port"),
        (SMALL + "profiles: [{pattern: '(', profile: web}]\n", "not a regular expression"),
        (SMALL + "store: {retention_days: 1}\n", "store.retention_days: 1"),
        (SMALL + "alerting: {raise_ticks: 4}\n", "alerting: raise_ticks 4 of raise_window 3 is impossible; make"),
        (SMALL + "alerting: {clear_window: 4}\n", "alerting: clear_ticks 5 of clear_window 4 is impossible; make"),
        (SMALL + "alerting: {target_precision: 1}\n", "alerting.target_precision: 1"),
        (SMALL + "alerting: {alertmanager: []}\n", "did you mean alertmanagers?"),
        (SMALL + alertmanagers("{name: a, url: b}"), "alerting.alertmanagers[0].url: 'b'"),
        (SMALL + alertmanagers("{name: a, url: 'http://a', tls: {ca: x}}"), "alertmanagers[0].tls.ca: unknown key"),
        (SMALL + alertmanagers("{name: a, url: 'http://a'}, {name: a, url: 'http://b'}"), "'a' is used twice"),
        (
            SMALL + alertmanagers("{name: a, url: 'http://a', bearer_token: x, bearer_token_file: y}"),
            "bearer_token and bearer_token_file are alternatives; keep one",
        ),
    ],
)
def test_bad_file_is_explained(text: str, expected: str) -> None:
    """The message names the problem of the file."""
    assert any(expected in problem for problem in problems(text)), problems(text)


def test_source_names_are_distinct() -> None:
    """Watermarks and metrics are by source name, so names must be unique."""
    text = SMALL.replace("metrics:", "  - {name: simulator, type: push}\nmetrics:")
    assert any("'simulator' is used twice" in problem for problem in problems(text))


def test_environment_is_substituted(monkeypatch: pytest.MonkeyPatch) -> None:
    """``${NAME}`` is replaced by the variable, anywhere in a value."""
    monkeypatch.setenv("FOREWARN_TEST_ZONE", "Berlin")
    assert parse(SMALL + "timezone: Europe/${FOREWARN_TEST_ZONE}\n").timezone == "Europe/Berlin"


def test_secrets_are_not_shown() -> None:
    """A problem with a secret names its key, never its value."""
    source = "  - {name: p, type: prometheus, url: 'http://x', queries: {cpu: up}, bearer_token: [s3cret]}\nmetrics:"
    found = problems(SMALL.replace("metrics:", source))
    assert any("bearer_token" in problem for problem in found)
    assert not any("s3cret" in problem for problem in found)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_unreadable_file(tmp_path: Path, content: bytes | None) -> None:
    """A missing or binary file is named, with the command that creates one."""
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.yaml: cannot be read: .* forewarn init"):
        load_config(path)


def test_check_config_exits_with_2(tmp_path: Path) -> None:
    """The command prints every problem on standard error, without a traceback."""
    path = tmp_path / "c.yaml"
    path.write_text("timezon: UTC\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "check-config", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 3
    assert "Traceback" not in done.stderr
