"""Upstreams that misbehave on purpose: the one thing that a real Synapse cannot be asked to do."""

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def upstream_that_closes() -> Iterator[str]:
    """Reads a request and closes the connection without an answer. Yields its URL."""
    with _listener(lambda connection, stopped: connection.recv(65536)) as url:
        yield url


@contextlib.contextmanager
def upstream_that_never_answers() -> Iterator[str]:
    """Takes every connection and says nothing on it until the end of the test. Yields its URL."""
    with _listener(lambda connection, stopped: stopped.wait()) as url:
        yield url


@contextlib.contextmanager
def _listener(treat) -> Iterator[str]:
    stopped = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve_one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            treat(connection, stopped)

    def accept() -> None:
        while not stopped.is_set():
            connection, _ = listener.accept()
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    host, port = listener.getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        stopped.set()
        socket.create_connection((host, port)).close()  # wakes `accept`
        acceptor.join()
        listener.close()
