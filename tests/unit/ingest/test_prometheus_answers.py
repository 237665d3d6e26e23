import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import numpy as np
import pytest

from daemon.config.sources import PrometheusConfig
from daemon.core.errors import QueryRejected, SourceUnavailable
from daemon.core.series import SeriesKey
from daemon.ingest.prometheus import PrometheusSource
from tests.panels import panel_of
from tests.servers.awkward import says_nothing, tcp_server

START = 1_700_000_100  # on the grid
Form = dict[str, str]
MALFORMED = {"status": "success", "data": {"resultType": "matrix", "result": [{"a": 1}]}}


def configured(**changes: Any) -> PrometheusConfig:
    """Return a configuration with one query and short timeouts."""
    return PrometheusConfig.model_validate(
        {
            "name": "main",
            "type": "prometheus",
            "url": "http://prometheus.example:9090",
            "queries": {"cpu": "busy"},
            "timeout_seconds": 2,
            "deadline_seconds": 3,
        }
        | changes
    )


def matrix(*series: tuple[dict[str, str], list[tuple[int, str]]]) -> dict[str, Any]:
    """Return the answer of a range query."""
    result = [{"metric": labels, "values": values} for labels, values in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def answering(handler: Callable[[Form], httpx.Response | dict[str, Any]], **changes: Any) -> PrometheusSource:
    """Return a source whose requests ``handler`` answers, given their form."""

    def handle(request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        answer = handler(form)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    return PrometheusSource(configured(**changes), httpx.MockTransport(handle))


def test_maps_labels_to_servers_and_profiles_and_drops_what_is_not_finite() -> None:
    """The port is dropped, the profile is taken from its label, and NaN and Inf stay missing."""
    answer = matrix(
        (
            {"instance": "db-1:9100", "role": "database"},
            [(START, "1.5"), (START + 300, "NaN"), (START + 600, "+Inf")],
        ),
        ({"instance": "web-1"}, [(START, "2"), (START + 600, "1e39")]),
    )
    samples = answering(lambda _: answer, profile_label="role").fetch("cpu", START, START + 600)
    assert samples.keys == (SeriesKey("db-1", "cpu"), SeriesKey("web-1", "cpu"))
    assert samples.timestamps.tolist() == [START, START]
    assert samples.values.tolist() == [1.5, 2.0]
    assert samples.values.dtype == np.float32
    assert samples.profiles == {"db-1": "database"}


def test_asks_at_grid_times_in_chunks_that_meet_without_overlap() -> None:
    """A span is fetched in consecutive chunks, every grid time exactly once."""
    asked: list[int] = []

    def handler(form: Form) -> dict[str, Any]:
        times = range(int(form["start"]), int(form["end"]) + 1, int(form["step"]))
        asked.extend(times)
        assert len(times) <= 24
        return matrix(({"instance": "a"}, [(at, "1") for at in times]))

    samples = answering(handler, chunk_hours=2).fetch("cpu", START - 7, START + 100 * 300 + 8)
    assert asked == [START + step * 300 for step in range(101)]
    assert samples.timestamps.tolist() == asked
    assert samples.keys == (SeriesKey("a", "cpu"),)


def test_no_chunk_exceeds_prometheus_limit_of_points() -> None:
    """Even the longest chunk that can be configured stays under 11,000 points."""
    points: list[int] = []

    def handler(form: Form) -> dict[str, Any]:
        points.append((int(form["end"]) - int(form["start"])) // int(form["step"]) + 1)
        return matrix()

    answering(handler, chunk_hours=900).fetch("cpu", START, START + 30_000 * 300)
    assert max(points) <= 11_000
    assert sum(points) == 30_001


def test_an_empty_answer_is_no_error() -> None:
    """A query without series gives no samples, and so does one with only missing values."""
    assert len(answering(lambda _: matrix()).fetch("cpu", START, START + 300)) == 0
    nothing = matrix(({"instance": "a"}, [(START, "NaN")]))
    assert len(answering(lambda _: nothing).fetch("cpu", START, START + 300)) == 0


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"host": "a"}, ["no label 'instance'", 'host="a"', "by (instance)"]),
        ({"instance": "!"}, ["server_pattern", "'!'"]),
        ({}, ["no label 'instance'"]),
    ],
)
def test_a_series_without_a_server_is_rejected(labels: dict[str, str], expected: list[str]) -> None:
    """The text names the query, what was found, and the fix."""
    source = answering(lambda _: matrix((labels, [(START, "1")])), server_pattern="^([a-z]+)$")
    with pytest.raises(QueryRejected) as caught:
        source.fetch("cpu", START, START)
    for part in ["main", "cpu", *expected]:
        assert part in str(caught.value)


def test_two_series_for_one_server_at_the_same_time_are_rejected() -> None:
    """The text names both label sets, and how to separate or merge them."""
    values = [(START + step * 300, "1") for step in range(3)]
    answer = matrix(({"instance": "a:1"}, values), ({"instance": "a:2"}, values))
    with pytest.raises(QueryRejected) as caught:
        answering(lambda _: answer).fetch("cpu", START, START + 600)
    for part in ['{instance="a:1"}', '{instance="a:2"}', "by (instance)", "server_pattern", "'a'"]:
        assert part in str(caught.value)


def test_a_target_that_moved_to_another_port_goes_on_as_the_same_server() -> None:
    """If one series ends when the other starts, the later one applies."""
    old = [(START, "1"), (START + 300, "2")]
    new = [(START + 300, "3"), (START + 600, "4"), (START + 900, "5")]
    answer = matrix(({"instance": "a:2"}, new), ({"instance": "a:1"}, old))
    panel = panel_of(answering(lambda _: answer).fetch("cpu", START, START + 900))
    assert panel.values.tolist() == [[1, 3, 4, 5]]


def test_a_restart_that_changes_a_label_is_one_series() -> None:
    """Two label sets of one server that follow each other do not collide."""
    answer = matrix(
        ({"instance": "a", "pod": "x"}, [(START, "1")]), ({"instance": "a", "pod": "y"}, [(START + 300, "2")])
    )
    assert answering(lambda _: answer).fetch("cpu", START, START + 300).values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (422, "query processing would load too many samples into memory in query execution"),
        (503, "query timed out in expression evaluation"),
        (400, "exceeded maximum resolution of 11,000 points per timeseries"),
    ],
)
def test_a_query_over_the_servers_limit_is_asked_in_smaller_chunks(status: int, text: str) -> None:
    """The chunk is halved until the server accepts it, and no sample is lost."""

    def handler(form: Form) -> httpx.Response | dict[str, Any]:
        times = range(int(form["start"]), int(form["end"]) + 1, 300)
        if len(times) > 40:
            return httpx.Response(status, json={"status": "error", "errorType": "execution", "error": text})
        return matrix(({"instance": "a"}, [(at, "1") for at in times]))

    samples = answering(handler).fetch("cpu", START, START + 499 * 300)
    assert samples.timestamps.tolist() == [START + step * 300 for step in range(500)]


def test_a_query_over_the_limit_even_for_an_hour_is_rejected() -> None:
    """Halving ends at an hour; the error has the text of the server."""
    asked: list[int] = []

    def handler(form: Form) -> httpx.Response:
        asked.append((int(form["end"]) - int(form["start"])) // 300 + 1)
        return httpx.Response(422, json={"status": "error", "error": "would load too many samples"})

    with pytest.raises(QueryRejected, match="would load too many samples"):
        answering(handler).fetch("cpu", START, START + 499 * 300)
    assert asked[-1] == 12
    assert len(asked) < 10


def test_bad_promql_is_rejected_with_prometheus_own_words() -> None:
    """The text names the source and the query, and the query is not retried."""
    calls: list[Form] = []

    def handler(form: Form) -> httpx.Response:
        calls.append(form)
        return httpx.Response(
            400, json={"status": "error", "errorType": "bad_data", "error": "1:5: parse error: unclosed"}
        )

    with pytest.raises(QueryRejected, match=r"main: query cpu: .*1:5: parse error: unclosed.*PromQL"):
        answering(handler).fetch("cpu", START, START)
    assert len(calls) == 1


def test_overlap_and_backfill_are_the_configured_ones() -> None:
    """The port has them in seconds; the configuration has steps and hours."""
    source = answering(lambda _: matrix(), overlap_steps=3, backfill_hours=2)
    assert (source.name, source.streams) == ("main", ("cpu",))
    assert (source.overlap_seconds, source.backfill_seconds) == (900, 7_200)


def test_an_unknown_stream_is_rejected() -> None:
    """A stream is a metric with a query."""
    with pytest.raises(QueryRejected, match="no query for 'memory', only for cpu"):
        answering(lambda _: matrix()).fetch("memory", START, START)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_outage_is_retried(status: int) -> None:
    """A temporary error is retried."""
    answers = [
        httpx.Response(status, text="busy"),
        httpx.Response(200, json=matrix(({"instance": "a"}, [(START, "1")]))),
    ]
    assert len(answering(lambda _: answers.pop(0)).fetch("cpu", START, START)) == 1


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (httpx.Response(401), ["access denied (401)", "bearer_token"]),
        (httpx.Response(403, json={"error": "no"}), ["access denied (403)"]),
        (httpx.Response(404, text="not here"), ["status 404", "url"]),
        (httpx.Response(302, headers={"Location": "https://u:pw@sso.example/login?state=s3cret"}), ["redirects to https://sso.example/login,"]),
        (httpx.Response(200, text="<html>Welcome to the hotel</html>"), ["not as Prometheus' API"]),
        (httpx.Response(200, json=[1]), ["not as Prometheus' API"]),
        (httpx.Response(200, json=MALFORMED), ["not as Prometheus' API"]),
        (httpx.Response(200, json=matrix(({"instance": "a"}, [(START + 1, "1")]))), ["not requested"]),
        (httpx.Response(400, text="plain HTTP sent to HTTPS port"), ["status 400"]),
    ],
)  # fmt: skip
def test_what_is_no_usable_answer_makes_the_source_unavailable(response: httpx.Response, expected: list[str]) -> None:
    """The text has the URL, the reason and the fix, and no secret."""
    with pytest.raises(SourceUnavailable) as caught:
        answering(lambda _: response, url="http://user:hush@p.example:9090/prom").fetch("cpu", START, START)
    for part in ["main", "http://p.example:9090/prom", *expected]:
        assert part in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("hush", "pw", "s3cret"))


def test_an_outage_ends_the_fetch_within_its_deadline() -> None:
    """Retries end before the deadline, and the error has the last reason."""
    calls: list[Form] = []

    def handler(form: Form) -> httpx.Response:
        calls.append(form)
        return httpx.Response(503, json={"status": "error", "error": "starting up"})

    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="status 503: starting up"):
        answering(handler, deadline_seconds=2).fetch("cpu", START, START)
    assert time.monotonic() - started < 60
    assert len(calls) >= 3


def test_credentials_are_read_and_sent_at_each_request(tmp_path: Path) -> None:
    """A token that is rotated on disk is used at the next request; further headers go along."""
    token = tmp_path / "token"
    seen: list[tuple[str, str]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers["Authorization"], request.headers["X-Scope-OrgID"]))
        return httpx.Response(200, json=matrix())

    config = configured(bearer_token_file=str(token), headers={"X-Scope-OrgID": "tenant"})
    source = PrometheusSource(config, httpx.MockTransport(handle))
    for text in ("first\n", "second"):
        token.write_text(text)
        source.fetch("cpu", START, START)
    assert seen == [("Bearer first", "tenant"), ("Bearer second", "tenant")]
    token.unlink()
    with pytest.raises(SourceUnavailable, match=r"bearer_token_file: .*No such file"):
        source.fetch("cpu", START, START)


def test_a_header_that_cannot_be_sent_is_not_quoted() -> None:
    """A password or token with a line break is refused without being shown, not even by the error's cause."""
    with tcp_server(says_nothing) as port:
        source = PrometheusSource(configured(url=f"http://127.0.0.1:{port}", headers={"X-Key": "s3c\nret"}))
        with pytest.raises(SourceUnavailable, match="characters that HTTP does not allow") as caught:
            source.fetch("cpu", START, START)
    assert "s3c" not in f"{caught.value}{caught.value.__cause__}"


def test_long_queries_go_into_the_body() -> None:
    """A query longer than the limit of URLs arrives complete."""
    long = " or ".join(["metric_with_a_long_name"] * 2_000)

    def handler(form: Form) -> dict[str, Any]:
        assert form["query"] == long
        return matrix()

    answering(handler, queries={"cpu": long}).fetch("cpu", START, START)


def test_reading_a_long_answer_costs_a_few_times_its_parsing() -> None:
    """Of 288,000 samples it takes about three times the processor time of ``json.loads``, on a machine of any speed."""
    values = [(START + step * 300, str(step / 7)) for step in range(288)]
    answer = json.dumps(matrix(*(({"instance": f"server-{i}:9100"}, values) for i in range(1_000)))).encode()
    source = answering(lambda _: httpx.Response(200, content=answer), deadline_seconds=60)
    started = time.process_time()
    json.loads(answer)
    parsed = time.process_time()
    samples = source.fetch("cpu", START, START + 287 * 300)
    read = time.process_time()
    assert len(samples) == 288_000
    assert read - parsed < 8 * (parsed - started)
