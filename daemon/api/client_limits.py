"""How often one client may ask within a minute, and how often it may fail to log in."""

import math
import threading
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from limits import RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

_MOST_CLIENTS = 10_000
_NETWORK_BITS = 64


class ClientLimits:
    """Counts what each client does; 0 is no limit."""

    def __init__(
        self,
        requests_per_minute: int = 0,
        failed_logins_per_minute: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nobody counted.

        Args:
            requests_per_minute: of one client.
            failed_logins_per_minute: likewise.
            now: seconds of any clock that is not set back.
        """
        self._requests = _Limit(requests_per_minute, now)
        self._failed_logins = _Limit(failed_logins_per_minute, now)

    def request(self, client: str) -> int:
        """Count a request, and return the seconds that ``client`` is to wait before it is served; 0 if it may be."""
        return self._requests.count(client)

    def before_login(self, client: str) -> int:
        """Return the seconds that ``client`` is to wait before its credentials are looked at; 0 if they may be."""
        return self._failed_logins.wait(client)

    def login_failed(self, client: str) -> None:
        """Count credentials that were wrong."""
        self._failed_logins.count(client)


def client_name(address: str | None) -> str:
    """Return what a client is counted under: its address, or its network where one host has as many as it likes.

    Args:
        address: as the listener or a proxy before it gives it; None at a Unix socket.
    """
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> _NETWORK_BITS << _NETWORK_BITS))


class _Limit:
    def __init__(self, most: int, now: Callable[[], float]) -> None:
        self._item = RateLimitItemPerMinute(most) if most else None
        self._now = now
        self._limiter = FixedWindowRateLimiter(_Counters(now))

    def count(self, client: str) -> int:
        if self._item is None or self._limiter.hit(self._item, client):
            return 0
        return self._seconds_left(self._item, client)

    def wait(self, client: str) -> int:
        if self._item is None or self._limiter.test(self._item, client):
            return 0
        return self._seconds_left(self._item, client)

    def _seconds_left(self, item: RateLimitItemPerMinute, client: str) -> int:
        return max(1, math.ceil(self._limiter.get_window_stats(item, client).reset_time - self._now()))


class _Counters(Storage):
    """Counters of windows of one length, those of the newest clients.

    The library's own for memory has no bound, and starts a thread at every hit.
    """

    STORAGE_SCHEME = None

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._lock = threading.Lock()
        # in the order of their ends, as all windows are of one length
        self._windows: dict[str, tuple[float, int]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        with self._lock:
            self._forget()
            end, count = self._windows.get(key, (self._now() + expiry, 0))
            self._windows[key] = end, count + amount
            return count + amount

    def get(self, key: str) -> int:
        with self._lock:
            self._forget()
            return self._windows.get(key, (0.0, 0))[1]

    def get_expiry(self, key: str) -> float:
        with self._lock:
            return self._windows.get(key, (self._now(), 0))[0]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        with self._lock:
            count = len(self._windows)
            self._windows.clear()
            return count

    def clear(self, key: str) -> None:
        with self._lock:
            self._windows.pop(key, None)

    def _forget(self) -> None:
        while self._windows:
            oldest = next(iter(self._windows))
            if self._windows[oldest][0] > self._now() and len(self._windows) <= _MOST_CLIENTS:
                return
            del self._windows[oldest]
