import pytest

from daemon.api.security import ClientLimits, client_name
from tests.fakes.source import FakeClock


def limits(requests: int = 0, failed_logins: int = 0) -> tuple[ClientLimits, FakeClock]:
    clock = FakeClock(1000)
    return ClientLimits(requests, failed_logins, clock.now), clock


def test_a_client_over_its_limit_waits_for_the_end_of_the_minute() -> None:
    """It gets the seconds to wait; other clients are not affected, and after the wait it is served again."""
    counted, clock = limits(requests=3)
    assert [counted.request("a") for _ in range(3)] == [0, 0, 0]
    clock.time += 20
    assert counted.request("a") == 40
    assert counted.request("b") == 0
    clock.time += 40
    assert counted.request("a") == 0


def test_only_failed_logins_use_up_logins() -> None:
    """A check before a login is not counted."""
    counted, clock = limits(failed_logins=2)
    assert [counted.before_login("a") for _ in range(9)] == [0] * 9
    counted.login_failed("a")
    assert counted.before_login("a") == 0
    counted.login_failed("a")
    assert counted.before_login("a") == 60
    assert counted.before_login("b") == 0
    clock.time += 60
    assert counted.before_login("a") == 0


def test_zero_is_no_limit() -> None:
    """With 0 there is no limit."""
    counted, _ = limits()
    for _ in range(50):
        counted.login_failed("a")
    assert {counted.request("a") for _ in range(50)} == {counted.before_login("a")} == {0}


def test_any_number_of_clients_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest clients are forgotten, the newest are not."""
    monkeypatch.setattr("daemon.api.security._MAXIMUM_CLIENTS", 10)
    counted, _ = limits(requests=1)
    for number in range(100):
        counted.request(str(number))
    assert counted.request("99") == 60
    assert counted.request("0") == 0


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::"),
        ("fe80::1%eth0", "fe80::"),
        (None, "unknown"),
        ("x" * 30_000, "unknown"),
    ],
)
def test_a_client_is_an_address_or_a_network(address: str | None, name: str) -> None:
    """An IPv6 client is its /64 network; an invalid address is one client."""
    assert client_name(address) == name
