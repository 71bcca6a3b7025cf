"""A Synapse as large homeservers have it: a main process and workers, on PostgreSQL and Redis."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from .ports import free_port
from .postgres import Postgres
from .redis import Redis
from .synapse import MAIN, Synapse, listeners


@dataclass(frozen=True)
class Worker:
    """One worker: what the gateway is told of it. What Synapse is told follows from that."""

    name: str
    roles: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    resources: tuple[str, ...] = ("client", "federation")


WORKERS = [
    Worker("sync1", roles=("sync", "sliding_sync"), resources=("client",)),
    Worker("sync2", roles=("sync", "sliding_sync"), resources=("client",)),
    Worker("isync1", roles=("initial_sync",), resources=("client",)),
    Worker("fed1", roles=("federation_inbound", "federation_reader"), resources=("federation",)),
    Worker("fed2", roles=("federation_inbound", "federation_reader"), resources=("federation",)),
    Worker("event1", roles=("event_creator",), resources=("client",)),
    Worker("media1", roles=("media",), resources=("media",)),
    Worker(
        "writer1",
        streams=("typing", "to_device", "account_data", "presence", "receipts"),
        resources=("client",),
    ),
    Worker("push1", streams=("push_rules", "device_lists", "thread_subscriptions"), resources=("client",)),
    Worker("generic1"),
    Worker("generic2"),
]
_MEDIA = "media1"
#: How many processes start at a time: each of them keeps one core busy.
_AT_A_TIME = max(2, os.cpu_count() or 1)
_CONNECTIONS = 5


class SynapseWithWorkers(Synapse):
    """One homeserver. `url` is the main process's own port."""

    def __init__(self, folder: Path, server_name: str, public_baseurl: str, extra: dict | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self._ports = {worker.name: free_port() for worker in WORKERS}
        replication = {worker.name: free_port() for worker in WORKERS if worker.streams} | {MAIN: free_port()}
        self._postgres = Postgres(folder / "postgres.log")
        self._redis = Redis(folder / "redis.log")
        writers = {stream: [worker.name] for worker in WORKERS for stream in worker.streams}
        shared = {
            "database": self._postgres.synapse_config(_CONNECTIONS),
            "redis": self._redis.synapse_config(),
            "worker_replication_secret": "only-for-this-test",
            "instance_map": {name: {"host": "127.0.0.1", "port": port} for name, port in replication.items()},
            "stream_writers": writers,
            "enable_media_repo": False,
            "media_instance_running_background_jobs": _MEDIA,
        }
        super().__init__(folder, server_name, public_baseurl, shared | (extra or {}))
        self._add_replication(self.config_file, "listeners", replication[MAIN])
        for worker in WORKERS:
            self.metrics_ports[worker.name] = free_port()
            self._write(worker)
            if worker.name in replication:
                self._add_replication(self._file(worker.name), "worker_listeners", replication[worker.name])

    def _file(self, worker: str) -> Path:
        return self.folder / f"{worker}.yaml"

    def _write(self, worker: Worker) -> None:
        config = {
            "worker_app": "synapse.app.generic_worker",
            "worker_name": worker.name,
            "worker_listeners": listeners(
                self._ports[worker.name], list(worker.resources), self.metrics_ports[worker.name]
            ),
            "worker_log_config": str(self.log_config),
        }
        if worker.name == _MEDIA:
            config["enable_media_repo"] = True
        self._file(worker.name).write_text(yaml.safe_dump(config))

    def _add_replication(self, file: Path, key: str, port: int) -> None:
        """Over it other processes ask this one to write."""
        config = yaml.safe_load(file.read_text())
        resources = [{"names": ["replication"]}]
        listener = {"port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "resources": resources}
        config[key].append(listener)
        file.write_text(yaml.safe_dump(config))

    def start(self) -> "SynapseWithWorkers":
        self._postgres.start()
        self._redis.start()
        super().start()  # the main process makes the tables that the workers look for
        starting: list[str] = []
        # Processes end with the thread that started them, so this one does.
        for worker in WORKERS:
            if len(starting) == _AT_A_TIME:
                self.await_ready(starting.pop(0))
            self.spawn(worker.name)
            starting.append(worker.name)
        for name in starting:
            self.await_ready(name)
        return self

    def _program(self, name: str) -> list[str]:
        if name == MAIN:
            return super()._program(name)
        files = ["-c", str(self.config_file), "-c", str(self._file(name))]
        return ["synapse.app.generic_worker", *files]

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            self._redis.stop()
            self._postgres.stop()

    def upstreams(self) -> dict[str, dict]:
        processes = {MAIN: {"address": f"127.0.0.1:{self.port}", "resources": ["client", "federation"]}}
        for worker in WORKERS:
            processes[worker.name] = {
                "address": f"127.0.0.1:{self._ports[worker.name]}",
                "roles": list(worker.roles),
                "streams": list(worker.streams),
                "resources": list(worker.resources),
            }
        return processes

    @property
    def media_url(self) -> str:
        return f"http://127.0.0.1:{self._ports[_MEDIA]}"
