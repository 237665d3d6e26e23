import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest
import yaml

from daemon.config.loading import default_text
from daemon.config.sources import PrometheusConfig
from daemon.core.errors import SourceUnavailable
from daemon.ingest.discovery import KEEP_PORT, Discovery, NothingToWatch, discover, known_exporters
from tests.servers.processes import require_programs

PACKAGED = tuple(yaml.safe_load(default_text())["metrics"])
CONFIG = PrometheusConfig.model_validate(
    {"name": "main", "type": "prometheus", "url": "http://p.example:9090", "queries": {"up": "up"}}
)


def discovered(series: dict[str, list[str]]) -> Discovery:
    """Return the discovery of a server that has exactly ``series``, on these instances."""

    def handle(request: httpx.Request) -> httpx.Response:
        promql = parse_qs(request.content.decode())["query"][0]
        names = [name for name in series if re.search(rf"\b{name}\b", promql)]
        instances = sorted({instance for name in names for instance in series[name]})
        result = [{"metric": {"instance": instance}, "value": [0, "1"]} for instance in instances]
        return httpx.Response(200, json={"status": "success", "data": {"resultType": "vector", "result": result}})

    return discover(CONFIG, known_exporters(), PACKAGED, httpx.MockTransport(handle))


def test_every_packaged_metric_has_an_exporter_and_no_other_is_named() -> None:
    """The queries of the exporters and the packaged configuration have the same metrics."""
    given = {query.metric for exporter in known_exporters() for query in exporter.queries}
    assert given == set(PACKAGED)


def test_every_query_is_promql_that_averages_five_minutes_per_instance(tmp_path: Path) -> None:
    """Each query is accepted by promtool as the expression of a rule, and each aggregates by instance."""
    require_programs("promtool")
    queries = [query for exporter in known_exporters() for query in exporter.queries]
    rules = [{"record": query.metric, "expr": query.promql} for query in queries]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", "--lint=none", file], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    for query in queries:
        assert "[5m]" in query.promql
        assert "by (instance" in query.promql


def test_exporters_of_one_server_become_one_server() -> None:
    """The port is dropped, so GPU and CPU metrics of a host meet under its name."""
    found = discovered({"node_cpu_seconds_total": ["ml-1:9100", "db-1:9100"], "DCGM_FI_DEV_GPU_UTIL": ["ml-1:9400"]})
    assert found.servers == ("db-1", "ml-1")
    assert found.collision == ()
    assert [one.metric for one in found.metrics if one.exporters == ("dcgm_exporter",)] == ["gpu_util_pct"]


def test_instances_that_differ_only_by_port_keep_it() -> None:
    """Two exporters of a kind on one address are two servers."""
    found = discovered({"node_cpu_seconds_total": ["localhost:9100", "localhost:9101"]})
    assert found.server_pattern == KEEP_PORT
    assert found.servers == found.collision == ("localhost:9100", "localhost:9101")


def test_exporters_that_give_the_same_metric_are_joined() -> None:
    """A fleet of Linux and Windows has one query per metric that serves both."""
    found = discovered({"node_cpu_seconds_total": ["a:9100"], "windows_cpu_time_total": ["b:9182", "c:9182"]})
    busy = next(one for one in found.metrics if one.metric == "cpu_busy_pct")
    assert busy.exporters == ("node_exporter", "windows_exporter")
    assert ") or (" in busy.promql
    assert busy.servers == 3


def test_what_is_left_out_has_a_reason() -> None:
    """The text names the missing exporter or collector."""
    reasons = {one.metric: one.reason for one in discovered({"node_cpu_seconds_total": ["a:9100"]}).left_out}
    assert "--collector.tcpstat" in reasons["tcp_close_wait"]
    assert reasons["gpu_util_pct"] == "needs dcgm_exporter, which was not found"


def test_a_prometheus_without_a_known_exporter_is_refused() -> None:
    """The text lists the known exporters."""
    with pytest.raises(NothingToWatch, match=r"node_exporter.*windows_exporter.*dcgm_exporter.*docs/configuration.md"):
        discovered({"up": []})


def test_a_server_that_refuses_is_an_outage() -> None:
    """The error is about the connection, not about missing exporters."""
    with pytest.raises(SourceUnavailable, match="access denied"):
        discover(CONFIG, known_exporters(), PACKAGED, httpx.MockTransport(lambda _: httpx.Response(401)))
