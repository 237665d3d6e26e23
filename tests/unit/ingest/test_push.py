import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config.sources import PushConfig
from daemon.core.errors import BadPush, QueryRejected
from daemon.core.series import STEP_SECONDS, SeriesKey, as_text
from daemon.ingest.ports import Source
from daemon.ingest.push import PushResult, PushSource, parse_push
from tests.panels import panel_of

NOON = 1_767_614_400  # 2026-01-05T12:00:00Z
OLDEST = NOON - 3600
METRICS = ("cpu", "mem")
GOOD: dict[str, Any] = {"timestamp": "2026-01-05T12:00:00Z", "server": "a", "metric": "cpu", "value": 1}


def parse(*records: object) -> PushResult:
    """Return the result of a push of records at noon."""
    return parse_push(list(records), NOON, METRICS, OLDEST)


def taken(result: PushResult) -> list[tuple[str, str, int, float]]:
    """Return the samples as server, metric, seconds after noon and value, in order."""
    samples = result.samples
    rows = zip(samples.series, samples.timestamps, samples.values, strict=True)
    return [(*samples.keys[row], int(time) - NOON, float(value)) for row, time, value in rows]


def reasons(result: PushResult) -> list[tuple[int, str, str]]:
    """Return the record, field and reason of each rejection."""
    return [(one.index, one.field, one.reason) for one in result.rejected]


def test_long_wide_and_nested_say_the_same() -> None:
    """The three forms of a record, with any zone and a profile, give the same samples."""
    common = {"timestamp": "2026-01-05T13:00:00+01:00", "server": "a", "profile": "web_api"}
    values = {"cpu": 1, "mem": 2.5}
    long = parse(*({**common, "metric": metric, "value": value} for metric, value in values.items()))
    wide = parse({**common, **values})
    nested = parse({**common, "metrics": values})
    for result in (long, wide, nested):
        assert taken(result) == [("a", "cpu", 0, 1.0), ("a", "mem", 0, 2.5)]
        assert (result.rejected, result.samples.profiles) == ((), {"a": "web_api"})


def test_the_records_may_be_in_an_object() -> None:
    """A list and an object with the list as its records are the same body."""
    assert taken(parse_push({"records": [GOOD]}, NOON, METRICS, OLDEST)) == taken(parse(GOOD))


def test_an_empty_list_is_no_fault() -> None:
    """There may be nothing to report."""
    result = parse()
    assert (len(result.samples), result.rejected) == (0, ())


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (None, "null"),
        ("cpu", "'cpu'"),
        (1.5, "1.5"),
        ({}, "an object without a list as records"),
        (GOOD, "an object without a list as records"),
        ({"records": GOOD}, "an object without a list as records"),
    ],
)
def test_a_body_of_no_known_form_is_refused_whole(document: object, found: str) -> None:
    """The error names what was sent and what is expected."""
    with pytest.raises(BadPush) as caught:
        parse_push(document, NOON, METRICS, OLDEST)
    assert str(caught.value).startswith(f"the body is {found}; send a list of records")


@pytest.mark.parametrize(
    ("timestamp", "reason", "detail"),
    [
        (None, "missing_field", "no timestamp"),
        (NOON, "wrong_type", "1767614400 is not a string; write ISO 8601"),
        (True, "wrong_type", "true is not a string"),
        ([], "wrong_type", "a list is not a string"),
        ("noon", "bad_timestamp", "'noon' is not a time; write ISO 8601"),
        ("", "bad_timestamp", "'' is not a time"),
        (str(NOON), "bad_timestamp", "is not a time"),
        ("9999-12-31T23:59:59Z", "bad_timestamp", "no plausible year"),
        ("0001-01-01T00:00:00+14:00", "bad_timestamp", "no plausible year"),
        ("2026-01-05T12:00:00", "no_timezone", "'2026-01-05T12:00:00' has no time zone"),
        ("2026-01-05T12:02:29Z", "off_grid", "the nearest grid time is 2026-01-05T12:00:00+00:00"),
        ("2026-01-05T12:02:30Z", "off_grid", "the nearest grid time is 2026-01-05T12:05:00+00:00"),
        ("2026-01-05T12:00:00.5Z", "off_grid", "'2026-01-05T12:00:00.5Z' is off the 300 s grid"),
        (as_text(NOON + 600), "in_the_future", "2026-01-05T12:10:00Z is after 2026-01-05T12:00:00Z"),
        (as_text(OLDEST - 300), "too_old", "2026-01-05T10:55:00Z is before 2026-01-05T11:00:00Z"),
        ("1066-10-14T09:00:00Z", "too_old", "1066-10-14"),
    ],
)
def test_a_bad_timestamp_costs_its_record(timestamp: object, reason: str, detail: str) -> None:
    """The rejection names the value, the reason and the fix; the other records are accepted."""
    result = parse(GOOD, {**GOOD, "timestamp": timestamp}, GOOD)
    assert reasons(result) == [(1, "timestamp", reason)]
    assert detail in result.rejected[0].detail
    assert len(result.samples) == 2


@pytest.mark.parametrize("timestamp", [as_text(NOON + STEP_SECONDS), as_text(OLDEST)])
def test_the_ends_of_the_span_are_taken(timestamp: str) -> None:
    """One step after the clock, and the oldest stored time, are both accepted."""
    assert not parse({**GOOD, "timestamp": timestamp}).rejected


@pytest.mark.parametrize(
    ("server", "reason", "detail"),
    [
        (None, "missing_field", "no server"),
        (7, "wrong_type", "7 is not a string"),
        ("", "empty_server", "is empty"),
        (" \t", "empty_server", "is empty"),
        ("x" * 256, "bad_name", "has 256 characters, more than 255"),
        ("a\nb", "bad_name", "has a control character or a line break"),
        ("\ud800", "bad_name", "has a control character"),
    ],
)
def test_a_bad_server_costs_its_record(server: object, reason: str, detail: str) -> None:
    """A name that the store or a label cannot hold is rejected with the reason."""
    result = parse({**GOOD, "server": server}, GOOD)
    assert reasons(result) == [(0, "server", reason)]
    assert detail in result.rejected[0].detail
    assert len(result.samples) == 1


@pytest.mark.parametrize("server", ["web-01.example.com:9100", "Ünïté 7", "机器", "x" * 255])
def test_any_readable_name_is_a_server(server: str) -> None:
    """Names are not limited to ASCII."""
    assert parse({**GOOD, "server": server}).samples.keys == (SeriesKey(server, "cpu"),)


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        ("1", "not_a_number", "'1' is not a number; send a number, or null where it is missing"),
        (True, "not_a_number", "true is not a number"),
        ([1], "not_a_number", "a list is not a number"),
        (float("nan"), "not_a_number", "NaN is not a number; send null"),
        (float("-inf"), "infinite", "-Infinity is infinite; send null"),
        (1e39, "infinite", "1e+39 is too large for a 32-bit float"),
        (10**400, "infinite", "an integer of 1329 bits is too large"),
        pytest.param(-(10**5000), "infinite", "an integer of 16610 bits is too large", id="endless"),
    ],
)
def test_a_bad_value_costs_only_itself(value: object, reason: str, detail: str) -> None:
    """The other metrics of a wide or nested record are taken; the field is named in each form."""
    common = {"timestamp": GOOD["timestamp"], "server": "a"}
    wide, nested = {**common, "cpu": value, "mem": 2}, {**common, "metrics": {"cpu": value, "mem": 3}}
    result = parse(wide, nested, {**GOOD, "value": value})
    assert reasons(result) == [(0, "cpu", reason), (1, "metrics.cpu", reason), (2, "value", reason)]
    assert all(detail in one.detail for one in result.rejected)
    assert taken(result) == [("a", "mem", 0, 2.0), ("a", "mem", 0, 3.0)]


def test_null_is_a_missing_sample() -> None:
    """A null is a missing sample, not an error, in every form."""
    common = {"timestamp": GOOD["timestamp"], "server": "a"}
    result = parse({**GOOD, "value": None}, {**common, "cpu": None, "mem": 1}, {**common, "metrics": {"cpu": None}})
    assert (taken(result), result.rejected) == ([("a", "mem", 0, 1.0)], ())


def test_an_unknown_metric_is_named() -> None:
    """An unknown metric is rejected by its field, and the rest of the record is accepted."""
    common = {"timestamp": GOOD["timestamp"], "server": "a"}
    result = parse({**GOOD, "metric": "gpu"}, {**common, "gpu": 1, "cpu": 2}, {**common, "metrics": {"gpu": 1}})
    assert reasons(result) == [
        (0, "metric", "unknown_metric"),
        (1, "gpu", "unknown_metric"),
        (2, "metrics.gpu", "unknown_metric"),
    ]
    assert "the metric 'gpu' is not configured" in result.rejected[0].detail
    assert taken(result) == [("a", "cpu", 0, 2.0)]


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ("cpu", "", "wrong_type"),
        (None, "", "wrong_type"),
        ({"metric": "cpu"}, "value", "missing_field"),
        ({"value": 1}, "metric", "missing_field"),
        ({"metric": None, "value": 1}, "metric", "missing_field"),
        ({"metric": 5, "value": 1}, "metric", "wrong_type"),
        ({"metrics": [1]}, "metrics", "wrong_type"),
        ({"metrics": {}}, "metric", "missing_field"),
        ({}, "metric", "missing_field"),
    ],
)
def test_a_record_of_no_known_form_is_rejected(record: object, field: str, reason: str) -> None:
    """The rejection names the part that is missing or of the wrong type."""
    if isinstance(record, dict):
        record = {"timestamp": GOOD["timestamp"], "server": "a", **record}
    result = parse(record, GOOD)
    assert reasons(result) == [(0, field, reason)]
    assert (
        "a record is {" in result.rejected[0].detail or "write the metric's name in quotes" in result.rejected[0].detail
    )
    assert len(result.samples) == 1


def test_every_problem_of_a_record_is_reported_at_once() -> None:
    """A sender sees every error after one attempt."""
    assert reasons(parse({"server": "", "cpu": 1})) == [
        (0, "timestamp", "missing_field"),
        (0, "server", "empty_server"),
    ]


@pytest.mark.parametrize(("profile", "reason"), [(5, "wrong_type"), ("", "bad_name"), ("a\0", "bad_name")])
def test_a_bad_profile_costs_only_itself(profile: object, reason: str) -> None:
    """The samples count, the server keeps the profile it had."""
    result = parse({**GOOD, "profile": profile})
    assert reasons(result) == [(0, "profile", reason)]
    assert (len(result.samples), result.samples.profiles) == (1, {})


def test_the_later_of_two_samples_and_profiles_comes_last() -> None:
    """Samples stay in the order sent, so that the later of two counts, as in the store."""
    result = parse({**GOOD, "profile": "generic"}, {**GOOD, "value": 2, "profile": "database"}, GOOD | {"value": 3})
    assert panel_of(result.samples).values.tolist() == [[3.0]]
    assert result.samples.profiles == {"a": "database"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(width=64) | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
near = st.integers(-20, 20).map(lambda step: as_text(NOON + step * STEP_SECONDS))
loose_records = st.fixed_dictionaries(
    {},
    optional={
        "timestamp": near | st.datetimes().map(lambda time: time.isoformat() + "Z") | anything,
        "server": st.sampled_from(["a", "b"]) | anything,
        "metric": st.sampled_from(METRICS) | anything,
        "value": st.floats() | anything,
        "profile": st.just("generic") | anything,
        "metrics": st.dictionaries(st.sampled_from(METRICS) | st.text(max_size=3), st.floats() | anything, max_size=3),
        "cpu": st.floats() | anything,
        "extra": anything,
    },
)


@given(document=anything | st.lists(loose_records | anything, max_size=4))
@settings(max_examples=400, deadline=None)
def test_no_garbage_gets_through_or_breaks_anything(document: object) -> None:
    """Whatever is sent, samples are finite, on the grid, in time and of known metrics; rejections can be answered."""
    try:
        result = parse_push(document, NOON, METRICS, OLDEST)
    except BadPush:
        return
    samples = result.samples
    assert np.isfinite(samples.values).all()
    assert not (samples.timestamps % STEP_SECONDS).any()
    assert ((samples.timestamps >= OLDEST) & (samples.timestamps <= NOON + STEP_SECONDS)).all()
    assert {key.metric for key in samples.keys} <= set(METRICS)
    assert all(key.server.strip() and key.server.encode() for key in samples.keys)
    for one in result.rejected:
        json.dumps([one.field, one.reason, one.detail], ensure_ascii=False).encode()
        assert one.reason.replace("_", "").islower()
        assert len(one.detail) < 500


def test_a_push_source_has_no_streams() -> None:
    """It has the configured name, and nothing to fetch."""
    source: Source = PushSource(PushConfig(name="agents", type="push"))
    assert (source.name, source.streams, source.backfill_seconds, source.overlap_seconds) == ("agents", (), 0, 0)
    with pytest.raises(QueryRejected, match=r"'agents' has no stream 'cpu'"):
        source.fetch("cpu", NOON, NOON)
    source.close()
