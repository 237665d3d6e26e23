"""The Prometheus source against a real Prometheus."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.config.sources import PrometheusConfig
from daemon.core.errors import ForewarnError, QueryRejected, SourceUnavailable
from daemon.core.series import Panel, floor_to_grid
from daemon.ingest.discovery import known_exporters
from daemon.ingest.prometheus import PrometheusSource
from daemon.ingest.prometheus_client import PrometheusApi, QueryTooLarge
from tests.panels import panel_of
from tests.servers.certificates import make_certificates
from tests.servers.history import History, node_history, write_history
from tests.servers.prometheus import RunningPrometheus

DAYS = 10
NODE = {query.metric: query.promql for query in known_exporters()[0].queries}


@dataclass(frozen=True)
class Recorded:
    """A Prometheus with ten days of two servers, and what was written into it."""

    server: RunningPrometheus
    history: History

    @property
    def end(self) -> int:
        """The newest time, on the grid."""
        return int(self.history.times[-1])

    @property
    def start(self) -> int:
        """The oldest time."""
        return int(self.history.times[0])

    def means(self, values: np.ndarray, panel: Panel) -> np.ndarray:
        """Return the means of per-minute ``values`` over the five minutes up to each time of ``panel``."""
        at = (panel.timestamps - self.start) // 60
        return np.array([values[max(0, i - 4) : i + 1].mean() for i in at])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """A Prometheus that scrapes nothing and has ten days of history."""
    folder = tmp_path_factory.mktemp("prometheus")
    server = RunningPrometheus(folder=folder)
    history = node_history(["web-1:9100", "db-1:9100"], floor_to_grid(time.time() - 300), days=DAYS)
    write_history(history, server.data)
    with server:
        yield Recorded(server, history)


def configured(url: str, **changes: Any) -> PrometheusConfig:
    """Return the configuration of the node_exporter metrics at ``url``."""
    return PrometheusConfig.model_validate(
        {"name": "main", "type": "prometheus", "url": url, "queries": NODE, "deadline_seconds": 30} | changes
    )


def source_for(url: str, **changes: Any) -> PrometheusSource:
    """Return a source of the node_exporter metrics at ``url``."""
    return PrometheusSource(configured(url, **changes))


def row(panel: Panel, server: str) -> np.ndarray:
    """Return the values of ``server``."""
    return panel.values[[key.server for key in panel.keys].index(server)]


def test_rates_and_averages_equal_what_was_written(recorded: Recorded) -> None:
    """Counters and gauges come out as the means over the five minutes up to each grid time."""
    source = source_for(recorded.server.url)
    busy = recorded.history.busy["web-1:9100"]
    start = recorded.end - 86_400
    filling = np.linspace(0.4, 0.6, len(busy))
    # Of the file system "/", 5 % is reserved for root, as df counts.
    expected = {
        "cpu_busy_pct": (100 * busy, 0.01),
        "cpu_user_pct": (62 * busy, 0.01),
        "cpu_system_pct": (24 * busy, 0.01),
        "cpu_iowait_pct": (12 * busy, 0.01),
        "disk_busy_pct": (50 * busy, 0.01),
        "mem_used_pct": (100 * (0.1 + 0.5 * busy), 1.0),
        "swap_used_pct": (10 * busy, 0.2),
        "load_per_core": (1.2 * busy, 0.05),
        "disk_used_pct": (100 * filling / 0.95, 0.05),
    }
    for metric, (values, tolerance) in expected.items():
        panel = panel_of(source.fetch(metric, start, recorded.end))
        assert {key.server for key in panel.keys} == {"web-1", "db-1"}
        assert panel.steps == 289
        np.testing.assert_allclose(row(panel, "web-1"), recorded.means(values, panel), atol=tolerance, err_msg=metric)


def test_network_counts_real_interfaces_in_decimal_megabytes(recorded: Recorded) -> None:
    """What goes over the loopback interface is not network traffic."""
    panel = panel_of(source_for(recorded.server.url).fetch("net_in_mb_s", recorded.end - 86_400, recorded.end))
    expected = 20 * recorded.means(recorded.history.busy["db-1:9100"], panel)
    ratio = row(panel, "db-1") / expected
    assert ratio.min() >= 0.9
    assert ratio.max() <= 1.1


def test_connections_that_wait_to_be_closed_are_counted(recorded: Recorded) -> None:
    """The count is the mean of what was seen in five minutes."""
    panel = panel_of(source_for(recorded.server.url).fetch("tcp_close_wait", recorded.end - 3_600, recorded.end))
    expected = recorded.means(np.round(5 * recorded.history.busy["web-1:9100"]), panel)
    np.testing.assert_allclose(row(panel, "web-1"), expected, atol=1)


def test_chunks_together_equal_one_query(recorded: Recorded) -> None:
    """Ten days in chunks of a day give the same samples as one query."""
    whole = source_for(recorded.server.url, chunk_hours=900)
    daily = source_for(recorded.server.url, chunk_hours=24)
    one = panel_of(whole.fetch("cpu_busy_pct", recorded.start, recorded.end))
    many = panel_of(daily.fetch("cpu_busy_pct", recorded.start, recorded.end))
    assert one.steps == many.steps >= DAYS * 288
    assert one.keys == many.keys
    np.testing.assert_array_equal(one.values, many.values)


def test_asking_for_more_than_there_is_gives_what_there_is(recorded: Recorded) -> None:
    """A back-fill of thirty days takes the ten that the server has, and leaves the rest missing."""
    samples = source_for(recorded.server.url).fetch("mem_used_pct", recorded.end - 30 * 86_400, recorded.end)
    assert int(samples.timestamps.min()) - recorded.start < 600
    assert len(samples) == 2 * (DAYS * 288 + 1)


def test_a_limit_on_samples_is_met_by_smaller_chunks(recorded: Recorded, tmp_path: Path) -> None:
    """Ten days at once exceed the limit of Prometheus; smaller chunks give the same samples."""
    server = RunningPrometheus(folder=tmp_path, flags=["--query.max-samples=1000"])
    write_history(node_history(["a:1"], recorded.end, days=4), server.data)
    with server:
        start = recorded.end - 3 * 86_400
        config = configured(server.url, chunk_hours=900)
        api = PrometheusApi(config)
        with pytest.raises(QueryTooLarge, match="too many samples"):
            api.query_range(NODE["cpu_busy_pct"], start, recorded.end, 300, time.monotonic() + 10)
        samples = PrometheusSource(config).fetch("cpu_busy_pct", start, recorded.end)
    assert len(samples) == 3 * 288 + 1


def test_bad_promql_is_rejected_with_the_text_of_prometheus(recorded: Recorded) -> None:
    """The rejection names the query and quotes the parser."""
    source = source_for(recorded.server.url, queries={"broken": "rate(node_load1[5m]", "text": '"a"', "number": "1"})
    with pytest.raises(QueryRejected, match=r"query broken: .*parse error: unclosed left parenthesis"):
        source.fetch("broken", recorded.end, recorded.end)
    with pytest.raises(QueryRejected, match=r"query text: .*invalid expression type"):
        source.fetch("text", recorded.end, recorded.end)
    with pytest.raises(QueryRejected, match=r"query number: .*no label 'instance'"):
        source.fetch("number", recorded.end, recorded.end)


def test_a_query_that_matches_nothing_gives_nothing(recorded: Recorded) -> None:
    """A series that does not exist is no error."""
    source = source_for(recorded.server.url, queries={"none": "sum by (instance) (no_such_series)"})
    assert len(source.fetch("none", recorded.start, recorded.end)) == 0


def test_series_of_one_server_that_are_not_aggregated_are_rejected(recorded: Recorded) -> None:
    """The rejection names two of the label sets and says to aggregate."""
    source = source_for(recorded.server.url, queries={"raw": "node_cpu_seconds_total"})
    with pytest.raises(QueryRejected, match=r'cpu="0".*cpu="[01]".*by \(instance\)'):
        source.fetch("raw", recorded.end - 3_600, recorded.end)


def test_a_prometheus_that_hangs_neither_blocks_a_stop_nor_outlasts_the_deadline(tmp_path: Path) -> None:
    """A stopped process accepts connections and never answers; it is an outage, and the next fetch works again."""
    with RunningPrometheus(folder=tmp_path) as server:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(SourceUnavailable, match="no complete answer"):
                source_for(server.url, timeout_seconds=1, deadline_seconds=2).fetch("cpu_busy_pct", 0, 300)
            assert time.monotonic() - started < 60
            patient = source_for(server.url)
            failures: list[Exception] = []

            def fetch() -> None:
                try:
                    patient.fetch("cpu_busy_pct", 0, 300)
                except ForewarnError as error:
                    failures.append(error)

            fetching = threading.Thread(target=fetch)
            fetching.start()
            time.sleep(0.5)
            started = time.monotonic()
            patient.close()
            fetching.join(50)
            assert time.monotonic() - started < 50
            assert isinstance(failures[0], SourceUnavailable)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert len(source_for(server.url).fetch("cpu_busy_pct", 0, 300)) == 0


def test_a_restart_of_prometheus_is_bridged_by_retries(tmp_path: Path) -> None:
    """A fetch that begins while the server is down ends well when it is back before the deadline."""
    server = RunningPrometheus(folder=tmp_path)
    with server:
        server.stop()
        threading.Timer(1, server.start).start()
        assert len(source_for(server.url).fetch("cpu_busy_pct", 0, 300)) == 0


def test_basic_authentication_over_tls(tmp_path: Path) -> None:
    """With the authority and the password it works; without either the text says which is missing."""
    bcrypt = pytest.importorskip("bcrypt", reason="needs bcrypt for Prometheus' password file")
    certificates = make_certificates(tmp_path / "tls")
    hashed = bcrypt.hashpw(b"opensesame", bcrypt.gensalt(4)).decode()
    web = (
        f"tls_server_config: {{cert_file: {certificates.cert}, key_file: {certificates.key}}}\n"
        f"basic_auth_users: {{forewarn: '{hashed}'}}\n"
    )
    password = tmp_path / "password"
    password.write_text("opensesame\n")
    user = {"username": "forewarn", "password_file": str(password)}
    trust = {"ca_file": str(certificates.ca)}
    short = {"deadline_seconds": 3}
    with RunningPrometheus(folder=tmp_path, web_config=web) as server:
        assert len(source_for(server.url, basic_auth=user, tls=trust).fetch("cpu_busy_pct", 0, 300)) == 0
        skipping = {"insecure_skip_verify": True}
        assert len(source_for(server.url, basic_auth=user, tls=skipping).fetch("cpu_busy_pct", 0, 300)) == 0
        with pytest.raises(SourceUnavailable, match=r"certificate is not trusted.*tls\.ca_file"):
            source_for(server.url, basic_auth=user, **short).fetch("cpu_busy_pct", 0, 300)
        with pytest.raises(SourceUnavailable, match=r"access denied \(401\)"):
            source_for(server.url, tls=trust, **short).fetch("cpu_busy_pct", 0, 300)
        password.write_text("wrong")
        with pytest.raises(SourceUnavailable, match=r"access denied \(401\)") as caught:
            source_for(server.url, basic_auth=user, tls=trust, **short).fetch("cpu_busy_pct", 0, 300)
        assert "wrong" not in str(caught.value)
        plain = source_for(server.url.replace("https", "http"), **short)
        with pytest.raises(SourceUnavailable, match="status 400"):
            plain.fetch("cpu_busy_pct", 0, 300)
