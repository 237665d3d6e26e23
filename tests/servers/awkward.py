"""Servers that misbehave, for the tests of clients."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def tcp_server(handle: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Yield the port of a server that passes each connection to ``handle``, with an event that is set at the end."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=_handled, args=(handle, connection, over), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        accepting.join()
        listener.close()


def says_nothing(connection: socket.socket, over: threading.Event) -> None:
    """Accept and never answer."""
    over.wait()


def drips(connection: socket.socket, over: threading.Event) -> None:
    """Answer one byte at a time, without end."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    while not over.wait(0.05):
        connection.sendall(b" ")


def breaks_off(connection: socket.socket, over: threading.Event) -> None:
    """Close the connection in the middle of an answer."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    time.sleep(0.01)


def _handled(
    handle: Callable[[socket.socket, threading.Event], None], connection: socket.socket, over: threading.Event
) -> None:
    # an error means that the client has closed the connection, as it should
    with connection, suppress(OSError):
        handle(connection, over)
