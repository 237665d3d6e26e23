from dataclasses import replace

from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from daemon.alerting.delivery import Delivery
from daemon.alerting.state import Notification
from tests.fakes.alert_repository import FakeAlertRepository
from tests.fakes.notifier import FakeNotifier
from tests.fakes.source import FakeClock, FakeTelemetry

WALL = 1_800_000_000.0
NEWS = Notification(
    labels={"alertname": "PredictedBreach", "server": "a"},
    annotations={"summary": "s"},
    starts_at=WALL - 60,
    ends_at=0.0,
)
OTHER = replace(NEWS, labels={"alertname": "PredictedBreach", "server": "b"})
ENDED = replace(NEWS, ends_at=WALL - 10)


class Rig:
    """Delivery to two targets."""

    def __init__(self, queue_limit: int = 100) -> None:
        self.repository, self.telemetry = FakeAlertRepository(), FakeTelemetry()
        self.first, self.second = FakeNotifier("first"), FakeNotifier("second")
        notifiers = (self.first, self.second)
        self.delivery = Delivery(
            repository=self.repository,
            notifiers=notifiers,
            queue_limit=queue_limit,
            clock=FakeClock(0),
            telemetry=self.telemetry,
            wall_now=lambda: WALL,
        )

    def queue(self, *news: Notification) -> None:
        self.repository.write({}, [], {"first": news, "second": news})

    def waiting(self) -> tuple[int, int]:
        return len(self.repository.queued("first", 99)), len(self.repository.queued("second", 99))


def test_every_target_gets_everything_and_again_at_each_tick() -> None:
    """News once, what fires at every tick, believed for over three ticks."""
    rig = Rig()
    rig.queue(NEWS)
    rig.delivery.run([NEWS, OTHER])
    rig.delivery.run([NEWS, OTHER])
    for notifier in (rig.first, rig.second):
        assert [[each.labels["server"] for each in batch] for batch in notifier.told] == [["a", "b"], ["a", "b"]]
        assert all(each.ends_at >= WALL + 3 * 300 for batch in notifier.told for each in batch)
    assert rig.waiting() == (0, 0)


def test_an_outage_loses_nothing() -> None:
    """What fired and ended while a target was down is told when it is back: first the one, a tick later the other."""
    rig = Rig()
    rig.first.down = True
    rig.queue(NEWS)
    rig.delivery.run([NEWS])
    rig.queue(ENDED)
    rig.delivery.run([])
    assert rig.waiting() == (2, 0)
    rig.first.down = False
    rig.delivery.run([])
    rig.delivery.run([])
    (fired,), (ended,) = rig.first.told
    assert fired.ends_at > WALL
    assert ended == ENDED
    assert rig.waiting() == (0, 0)
    assert rig.telemetry.counts["notifications", "first", "failed"] == 2


def test_one_bad_alert_does_not_hold_up_the_others() -> None:
    """A batch that is refused is sent one by one; what is refused alone is given up, and counted."""
    rig = Rig()
    rig.first.refuses = frozenset({"a"})
    rig.queue(NEWS, OTHER)
    rig.delivery.run([])
    assert [[each.labels["server"] for each in batch] for batch in rig.first.told] == [["b"]]
    assert rig.waiting() == (0, 0)
    assert rig.telemetry.counts["notifications", "first", "rejected"] == 1


def test_the_queue_is_bounded() -> None:
    """Over the limit the oldest go, and it is counted."""
    rig = Rig(queue_limit=2)
    rig.first.down = True
    rig.queue(*(replace(NEWS, labels={"server": str(number)}) for number in range(5)))
    rig.delivery.run([])
    assert [each.notification.labels["server"] for each in rig.repository.queued("first", 9)] == ["3", "4"]
    assert rig.telemetry.counts["notifications", "first", "dropped"] == 3
    assert rig.telemetry.counts["queued", "first"] == 2


def test_without_targets_nothing_is_done() -> None:
    """A service without an Alertmanager has nobody to tell."""
    repository, telemetry = FakeAlertRepository(), FakeTelemetry()
    Delivery(
        repository=repository,
        notifiers=(),
        queue_limit=10,
        clock=FakeClock(0),
        telemetry=telemetry,
        wall_now=lambda: WALL,
    ).run([NEWS])
    assert not telemetry.counts


def test_what_is_logged_of_a_target_bears_the_tick() -> None:
    """The threads that tell the targets log with the context of the tick that they belong to."""
    rig = Rig()
    rig.first.down = True
    rig.queue(NEWS)
    with capture_logs([merge_contextvars]) as lines, bound_contextvars(tick="2026-01-05T00:00:00Z"):
        rig.delivery.run([])
    assert [(line["event"], line["tick"]) for line in lines] == [("notifier_unavailable", "2026-01-05T00:00:00Z")]
