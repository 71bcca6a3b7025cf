"""A Redis over which the processes of one homeserver tell each other what happens."""

import socket
from pathlib import Path

from .ports import free_port
from .process import Process


class Redis:
    """It writes nothing down."""

    def __init__(self, log: Path):
        self.port = free_port()
        self._log = log
        self._process: Process | None = None

    def start(self) -> "Redis":
        argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port)]
        argv += ["--save", "", "--appendonly", "no"]
        self._process = Process("Redis", argv, self._log)
        self._process.wait_ready(self._answers, 20)
        return self

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")

    def synapse_config(self) -> dict:
        return {"enabled": True, "host": "127.0.0.1", "port": self.port}

    def stop(self) -> None:
        if self._process:
            self._process.stop()
