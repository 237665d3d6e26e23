"""Delivery to two targets: queue, keep-alive, outages, restarts, rejections."""

from collections.abc import Sequence
from dataclasses import replace

from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from daemon.alerting.delivery import Delivery
from daemon.alerting.state import Notification
from daemon.config.alerting import AlertingConfig
from tests.fakes.alert_repository import FakeAlertRepository
from tests.fakes.notifier import FakeNotifier
from tests.fakes.source import FakeClock, FakeTelemetry

WALL = 1_800_000_000.0
FIRED = Notification(
    labels={"alertname": "PredictedBreach", "server": "a"},
    annotations={"summary": "in 2 h"},
    starts_at=WALL - 60,
    ends_at=0.0,
)
OTHER = replace(FIRED, labels={"alertname": "PredictedBreach", "server": "b"})
RESOLVED = replace(FIRED, annotations={"summary": "no longer"}, ends_at=WALL - 10)


class Rig:
    """Delivery to the targets ``first`` and ``second``."""

    def __init__(self, queue_limit: int = 100) -> None:
        self.repository, self.telemetry = FakeAlertRepository(), FakeTelemetry()
        self.first, self.second = FakeNotifier("first"), FakeNotifier("second")
        self.config = AlertingConfig(queue_limit=queue_limit)
        self.restart()

    def restart(self) -> None:
        """Start a new instance on the same repository."""
        self.delivery = Delivery(
            repository=self.repository,
            notifiers=(self.first, self.second),
            config=self.config,
            clock=FakeClock(0),
            telemetry=self.telemetry,
            wall_now=lambda: WALL,
        )

    def queue(self, *changes: Notification) -> None:
        self.repository.write({}, [], {"first": changes, "second": changes})

    def tick(self, *changes: Notification, firing: Sequence[Notification] = ()) -> None:
        """Queue ``changes`` and run the delivery."""
        self.queue(*changes)
        self.delivery.run(firing)

    def queued(self) -> tuple[int, int]:
        return len(self.repository.queued("first", 99)), len(self.repository.queued("second", 99))


def accepted(notifier: FakeNotifier) -> list[list[tuple[str, str]]]:
    """Return for each accepted batch the servers and whether they fire."""
    return [
        [(each.labels["server"], "firing" if each.ends_at > WALL else "resolved") for each in batch]
        for batch in notifier.accepted
    ]


def test_every_target_gets_every_firing_alert_at_each_tick() -> None:
    """A change is queued once and then re-sent while it fires, valid for more than three ticks."""
    rig = Rig()
    rig.tick(FIRED, firing=[FIRED, OTHER])
    rig.tick(firing=[FIRED, OTHER])
    for notifier in (rig.first, rig.second):
        assert accepted(notifier) == [[("a", "firing"), ("b", "firing")]] * 2
        assert all(each.ends_at == WALL + 4 * 300 for batch in notifier.accepted for each in batch)
    assert rig.queued() == (0, 0)


def test_an_alert_that_began_and_ended_in_an_outage_is_delivered() -> None:
    """Hours later, after a restart, the target gets that it fired and, a tick later, that it resolved, in its words."""
    rig = Rig()
    rig.first.down = True
    rig.tick(FIRED, firing=[FIRED])
    for _ in range(20):
        rig.tick(firing=[FIRED])
    rig.tick(RESOLVED)
    for _ in range(20):
        rig.tick()
    assert rig.queued() == (2, 0)
    rig.restart()
    rig.first.down = False
    for _ in range(3):
        rig.tick()
    (fired,), (resolved,) = rig.first.accepted
    assert fired == replace(FIRED, ends_at=WALL + 4 * 300)
    assert resolved == RESOLVED
    assert rig.queued() == (0, 0)
    assert rig.telemetry.counts["notifications", "first", "failed"] == 42


def test_an_outage_of_one_target_does_not_delay_the_other() -> None:
    """The other one gets each change at its tick."""
    rig = Rig()
    rig.first.down = True
    rig.tick(FIRED, firing=[FIRED])
    rig.tick(RESOLVED)
    assert accepted(rig.second) == [[("a", "firing")], [("a", "resolved")]]
    assert (accepted(rig.first), rig.queued()) == ([], (2, 0))


def test_an_alert_that_still_fires_after_an_outage_has_its_present_text() -> None:
    """The queued text is hours old; one message is enough."""
    rig = Rig()
    rig.first.down = True
    rig.tick(FIRED, firing=[FIRED])
    rig.first.down = False
    now = replace(FIRED, annotations={"summary": "has reached"})
    rig.tick(firing=[now])
    assert [[each.annotations["summary"] for each in batch] for batch in rig.first.accepted] == [["has reached"]]
    assert rig.queued() == (0, 0)


def test_an_alert_that_fired_twice_in_an_outage_is_delivered_twice() -> None:
    """The order is kept: fired, resolved, and fired again with the present text."""
    rig = Rig()
    rig.first.down = True
    again = replace(FIRED, starts_at=WALL)
    rig.tick(FIRED, firing=[FIRED])
    rig.tick(RESOLVED)
    rig.tick(again, firing=[again])
    rig.first.down = False
    for _ in range(4):
        rig.tick(firing=[again])
    assert accepted(rig.first) == [[("a", "firing")], [("a", "resolved")], [("a", "firing")], [("a", "firing")]]
    assert [batch[0].starts_at for batch in rig.first.accepted] == [WALL - 60, WALL - 60, WALL, WALL]


def test_one_rejected_alert_does_not_block_the_others() -> None:
    """A rejected batch is sent one by one; the rejected alert is dropped and counted."""
    rig = Rig()
    rig.first.rejects = frozenset({"a"})
    rig.tick(FIRED, OTHER)
    assert accepted(rig.first) == [[("b", "firing")]]
    assert accepted(rig.second) == [[("a", "firing"), ("b", "firing")]]
    assert rig.queued() == (0, 0)
    assert rig.telemetry.counts["notifications", "first", "rejected"] == 1


def test_the_queue_is_bounded() -> None:
    """Above the limit the oldest are dropped and counted."""
    rig = Rig(queue_limit=2)
    rig.first.down = True
    rig.tick(*(replace(FIRED, labels={"server": str(number)}) for number in range(5)))
    assert [each.notification.labels["server"] for each in rig.repository.queued("first", 9)] == ["3", "4"]
    assert rig.telemetry.counts["notifications", "first", "dropped"] == 3
    assert rig.telemetry.counts["queued", "first"] == 2


def test_without_targets_nothing_is_sent() -> None:
    """A service without an Alertmanager counts nothing."""
    repository, telemetry = FakeAlertRepository(), FakeTelemetry()
    Delivery(
        repository=repository,
        notifiers=(),
        config=AlertingConfig(),
        clock=FakeClock(0),
        telemetry=telemetry,
        wall_now=lambda: WALL,
    ).run([FIRED])
    assert not telemetry.counts


def test_log_lines_of_a_target_have_the_tick() -> None:
    """The threads of the targets log with the context of their tick."""
    rig = Rig()
    rig.first.down = True
    rig.queue(FIRED)
    with capture_logs([merge_contextvars]) as lines, bound_contextvars(tick="2026-01-05T00:00:00Z"):
        rig.delivery.run([])
    assert [(line["event"], line["tick"]) for line in lines] == [("notifier_unavailable", "2026-01-05T00:00:00Z")]
