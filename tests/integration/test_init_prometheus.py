"""`forewarn init` against a real Prometheus that scrapes a real node_exporter."""

import time
from pathlib import Path

import pytest

from daemon.cli.init import init
from daemon.config.loading import load_config
from daemon.config.sources import PrometheusConfig
from daemon.core.series import floor_to_grid
from daemon.ingest.discovery import KEEP_PORT, NothingToWatch
from daemon.ingest.prometheus import PrometheusSource
from tests.servers.history import node_history, write_history
from tests.servers.node_exporter import RunningNodeExporter
from tests.servers.processes import wait_until
from tests.servers.prometheus import RunningPrometheus

RATED = 'count(avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])))'


def wait_for_rates(server: RunningPrometheus, instances: int) -> None:
    """Wait until ``instances`` have been scraped often enough for a rate."""

    def rated() -> bool:
        return [int(item["value"][1]) for item in server.query(RATED)] == [instances]

    wait_until(rated, 30, f"rates of {instances} instances")


def test_writes_a_config_whose_every_query_gives_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output lists the findings, the file is valid, and its source fetches every metric in it."""
    out = tmp_path / "made" / "config.yaml"
    with RunningNodeExporter(tmp_path) as exporter:
        server = RunningPrometheus(folder=tmp_path, targets={"node": [exporter.address]})
        history = node_history(["web-1:9100", "db-1:9100"], int(time.time()) - 60, days=0.25)
        write_history(history, server.data)
        with server:
            wait_for_rates(server, 3)
            init(server.url, out)
            config = load_config(out)
            (source,) = config.sources
            assert isinstance(source, PrometheusConfig)
            assert set(source.queries) == set(config.metrics)
            end = floor_to_grid(time.time() - 60)
            fetching = PrometheusSource(source)
            for metric in source.queries:
                samples = fetching.fetch(metric, end - 3_600, end)
                assert {key.server for key in samples.keys} >= {"web-1", "db-1"}, metric
    assert config.metrics["cpu_busy_pct"].profiles["ml_compute"].warning == 95
    assert [rule.profile for rule in config.profiles][:2] == ["ml_compute", "database"]
    output = capsys.readouterr().out
    assert "Found node_exporter, instances: 3" in output
    assert "cpu_busy_pct" in output
    assert "gpu_util_pct      needs dcgm_exporter, which was not found" in output
    assert f"forewarn check-config {out}" in output
    assert f"forewarn run --config {out}" in output
    assert "gpu_util_pct" not in out.read_text()


def test_a_real_node_exporter_has_every_metric_but_those_of_the_hardware(tmp_path: Path) -> None:
    """All of the packaged metrics but GPU and swap come from node_exporter with tcpstat, as finite values."""
    out = tmp_path / "config.yaml"
    with (
        RunningNodeExporter(tmp_path) as exporter,
        RunningPrometheus(folder=tmp_path, targets={"node": [exporter.address]}) as server,
    ):
        wait_for_rates(server, 1)
        init(server.url, out)
    found = set(load_config(out).metrics)
    assert found >= {"cpu_user_pct", "cpu_busy_pct", "mem_used_pct", "load_per_core", "tcp_close_wait"}
    assert found.isdisjoint({"gpu_util_pct", "gpu_mem_used_pct"})


def test_two_exporters_on_one_host_stay_two_servers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If instances differ only by port, the written pattern keeps it, and the output reports that."""
    out = tmp_path / "config.yaml"
    with (
        RunningNodeExporter(tmp_path) as one,
        RunningNodeExporter(tmp_path) as other,
        RunningPrometheus(folder=tmp_path, targets={"node": [one.address, other.address]}) as server,
    ):
        wait_for_rates(server, 2)
        init(server.url, out)
        (source,) = load_config(out).sources
        assert isinstance(source, PrometheusConfig)
        assert source.server_pattern == KEEP_PORT
        # The scrapes of the last seconds belong to the next grid time, or just still to this one.
        now = floor_to_grid(time.time())
        samples = PrometheusSource(source).fetch("mem_used_pct", now, now + 300)
    assert {key.server for key in samples.keys} == {one.address, other.address}
    assert "differ only by port" in capsys.readouterr().out
    assert one.address in out.read_text()


def test_an_empty_prometheus_gives_no_file(tmp_path: Path) -> None:
    """Without a known exporter nothing is written, and the error lists what was looked for."""
    out = tmp_path / "config.yaml"
    with (
        RunningPrometheus(folder=tmp_path) as server,
        pytest.raises(NothingToWatch, match=r"node_exporter.*windows_exporter.*dcgm_exporter"),
    ):
        init(server.url, out)
    assert not out.exists()


def test_force_replaces_a_file(tmp_path: Path) -> None:
    """A second run with ``--force`` replaces the file."""
    out = tmp_path / "config.yaml"
    out.write_text("old")
    server = RunningPrometheus(folder=tmp_path)
    write_history(node_history(["a:1"], int(time.time()) - 60, days=0.1), server.data)
    with server:
        init(server.url, out, force=True)
    assert "cpu_busy_pct" in out.read_text()
