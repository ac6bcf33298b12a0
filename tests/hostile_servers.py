"""A server on loopback that answers what a test tells it to, byte by byte, and counts who came."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

#: stands for this machine where `resolve` and `reach` say so: nothing leaves it
PUBLIC = "93.184.216.34"

Answer = Callable[[socket.socket], None]


class HostileServer:
    """Answers every connection by the path that it asks for; `hits` are those paths in order."""

    def __init__(self, answers: dict[str, Answer], tls: ssl.SSLContext | None) -> None:
        self._answers, self._tls = answers, tls
        self.hits: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError):  # the client may leave at any time
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                path = connection.recv(4096).split(b" ")[1].decode()
                self.hits.append(path)
                self._answers[path](connection)

    def close(self) -> None:
        """Take no further connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def hostile_server(
    answers: dict[str, Answer], tls: ssl.SSLContext | None = None
) -> Iterator[HostileServer]:
    """Serve while the context lasts."""
    server = HostileServer(answers, tls)
    try:
        yield server
    finally:
        server.close()


def whole(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """Answer with a body and close."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    data = "\r\n".join([*lines, "", ""]).encode() + body
    return lambda connection: connection.sendall(data)


def redirect(location: str) -> Answer:
    """Answer with a redirect."""
    return whole(b"", f"Location: {location}", status="302 Found")


def endless(connection: socket.socket) -> None:
    """Send a body of undeclared length for as long as the client takes it."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n")
    while True:
        connection.sendall(bytes(65_536))


def dripping(data: bytes, seconds: float = 0.1) -> Answer:
    """Send data one byte at a time."""

    def answer(connection: socket.socket) -> None:
        for at in range(len(data)):
            connection.sendall(data[at : at + 1])
            time.sleep(seconds)

    return answer


def silent(connection: socket.socket) -> None:
    """Say nothing until the client leaves."""
    connection.recv(1)


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let each `.example` resolve to the next answer, the last one for ever; return those asked."""
    asked: list[str] = []
    lookup = socket.getaddrinfo

    def getaddrinfo(host: str, *more: object, **named: object) -> object:
        if host.endswith(".example"):
            asked.append(host)
            host = answers[min(len(asked), len(answers)) - 1]
        return lookup(host, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@contextmanager
def silent_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let nobody hear of any name while the context lasts; yield those that were asked for."""
    asked: list[str] = []
    is_over = threading.Event()

    def getaddrinfo(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        is_over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        try:
            yield asked
        finally:
            is_over.set()
            for thread in set(threading.enumerate()) - before:
                thread.join()


def reach(monkeypatch: pytest.MonkeyPatch, port: int) -> list[str]:
    """Let the public address be a server of this machine; return what is connected to."""
    reached: list[str] = []
    connect = socket.create_connection

    def create_connection(address: tuple[str, int], *more: object, **named: object) -> object:
        reached.append(address[0])
        assert address[0] == PUBLIC
        return connect(("127.0.0.1", port), *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return reached
