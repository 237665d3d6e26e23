"""What a service tells the one that started it: the receiving end of sd_notify(3)."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self


class NotifySocket:
    """A socket as systemd opens it; ``messages`` are those that have come so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._received: list[str] = []

    @property
    def messages(self) -> list[str]:
        """Every message, oldest first."""
        while True:
            try:
                self._received.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self._received

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
