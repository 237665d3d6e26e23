"""The receiving end of sd_notify(3), as systemd has it for a service."""

import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


class NotifySocket:
    """A notification socket like that of systemd; ``messages`` are the received messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: all messages, oldest first
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        # in its own thread, because the kernel queues ten messages and rejects more
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
