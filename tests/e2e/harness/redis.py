"""A Redis of our own: on a Unix socket, in memory, and gone with the test."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

from .process import Process


class Redis:
    """One server. REDIS_SERVER names its program. Its socket is in a short folder: a path has 107 bytes at most."""

    def __init__(self, log: Path):
        self._log = log
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-redis-"))
        self.socket = self._folder / "redis.sock"
        self._process: Process | None = None

    def start(self) -> "Redis":
        options = {"port": "0", "unixsocket": str(self.socket), "dir": str(self._folder), "save": "", "appendonly": "no"}
        arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
        program = os.environ.get("REDIS_SERVER", "redis-server")
        self._process = Process("Redis", [program, *arguments], self._log)
        self._process.wait_ready(self._answers, 30)
        return self

    def stop(self) -> None:
        if self._process:
            self._process.stop()
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
