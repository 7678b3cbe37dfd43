"""Servers of this machine that answer whatever is asked with the same bytes, at any pace."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def reply(body: bytes) -> bytes:
    """An answer of HTTP with a body."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Answering:
    """Where it listens, and what it was asked.

    Args:
        said: to everybody who connects and asks.
        every_s: between two bytes; 0 = all at once. After the last byte nothing follows.

    Attributes:
        asked: the first bytes of each question.
        said: so many bytes of answers.
    """

    def __init__(self, said: bytes, every_s: float = 0.0) -> None:
        self.asked: list[bytes] = []
        self.said = 0
        self._said, self._every_s = said, every_s
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(5)

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self.asked.append(connection.recv(1 << 16))
            if not self._every_s:
                connection.sendall(self._said)
                self.said += len(self._said)
                return
            for number in range(len(self._said)):
                connection.sendall(self._said[number : number + 1])
                self.said += 1
                if self._over.wait(self._every_s):
                    return


@contextmanager
def answering(said: bytes, every_s: float = 0.0) -> Iterator[Answering]:
    """A server that is closed."""
    server = Answering(said, every_s)
    try:
        yield server
    finally:
        server.close()
