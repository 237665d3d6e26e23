"""What a service reports to its manager: the receiving end of sd_notify(3)."""

import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


class NotifySocket:
    """A socket as systemd opens it; ``messages`` are those that have come so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Every message, oldest first.
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        # all the time, as systemd does: the kernel keeps ten messages and refuses more
        self._receiver = threading.Thread(target=self._receive, name="notify", daemon=True)
        self._receiver.start()

    def _receive(self) -> None:
        while text := self._socket.recv(4096).decode():
            self.messages.append(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self.path))
        self._receiver.join(5)
        self._socket.close()
