"""A real Synapse as large homeservers run it: PostgreSQL, Redis, a main process and workers."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .ports import free_port
from .postgres import Postgres
from .redis import Redis
from .synapse import Synapse, SynapseProcess


@dataclass(frozen=True)
class Duty:
    """What a worker does, in the words of both configurations."""

    roles: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=lambda: ["client"])


#: The sync workers also serve `/messages`, so that two processes share what must stay together by room.
WORKERS = {
    "sync1": Duty(["sync", "sliding_sync", "pagination"]),
    "sync2": Duty(["sync", "sliding_sync", "pagination"]),
    "isync1": Duty(["initial_sync"]),
    "fed1": Duty(["federation_inbound", "federation_reader"], resources=["federation"]),
    "fed2": Duty(["federation_inbound", "federation_reader"], resources=["federation"]),
    "event1": Duty(["event_creator"]),
    "media1": Duty(["media"], resources=["media"]),
    "writer1": Duty(streams=["typing", "to_device", "account_data", "presence", "receipts"]),
    "push1": Duty(streams=["push_rules", "device_lists"]),
}
#: So many start at a time: each start is a second or two of work for one core.
_AT_A_TIME = 4


class Deployment(Synapse):
    """A homeserver with these workers, each with a log file of its own in `folder`."""

    def __init__(self, folder: Path, server_name: str, public_baseurl: str, extra: dict | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self._postgres, self._redis = Postgres(folder / "postgres.log"), Redis(folder / "redis.log")
        shared = folder / "homeserver.yaml"
        self.workers = {
            name: SynapseProcess(name, folder, "generic_worker", [shared, folder / f"{name}.yaml"]) for name in WORKERS
        }
        # Processes talk to the main process and to whoever writes a stream.
        writers = [name for name, duty in WORKERS.items() if duty.streams]
        self._replication_ports = {name: free_port() for name in ["main", *writers]}
        super().__init__(folder, server_name, public_baseurl, extra)
        for name in WORKERS:
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(self._worker_config(name)))

    def _config(self, public_baseurl: str) -> dict:
        config = super()._config(public_baseurl)
        config["listeners"].append(self._replication_listener("main"))
        return config | {
            "database": self._postgres.synapse_config(),
            "redis": {"enabled": True, "path": str(self._redis.socket)},
            "worker_replication_secret": "only-for-this-test",
            "instance_map": {
                name: {"host": "127.0.0.1", "port": port} for name, port in self._replication_ports.items()
            },
            "stream_writers": {stream: name for name, duty in WORKERS.items() for stream in duty.streams},
            "enable_media_repo": False,
            "media_instance_running_background_jobs": "media1",
        }

    def _worker_config(self, name: str) -> dict:
        duty = WORKERS[name]
        listeners = self.workers[name].listeners(*duty.resources)
        if name in self._replication_ports:
            listeners.append(self._replication_listener(name))
        return {
            "worker_app": "synapse.app.generic_worker",
            "worker_name": name,
            "worker_listeners": listeners,
            "worker_log_config": str(self.folder / "log.yaml"),
            "enable_media_repo": "media" in duty.resources,
        }

    def _replication_listener(self, name: str) -> dict:
        return {
            "port": self._replication_ports[name],
            "bind_addresses": ["127.0.0.1"],
            "type": "http",
            "resources": [{"names": ["replication"]}],
        }

    @property
    def processes(self) -> list[SynapseProcess]:
        return [self.main, *self.workers.values()]

    @property
    def media_url(self) -> str:
        return self.workers["media1"].url

    def process(self, name: str) -> SynapseProcess:
        return self.main if name == "main" else self.workers[name]

    def upstreams(self) -> dict[str, dict]:
        upstreams = {"main": {"address": f"127.0.0.1:{self.port}", "resources": ["client", "federation"]}}
        for name, duty in WORKERS.items():
            upstreams[name] = {"address": f"127.0.0.1:{self.workers[name].port}", "resources": duty.resources}
            upstreams[name] |= {"roles": duty.roles} if duty.roles else {"streams": duty.streams}
        return upstreams

    def start(self) -> "Deployment":
        self._postgres.start()
        self._redis.start()
        self.main.start()  # it makes the database that the others expect to find
        workers = list(self.workers.values())
        for number, worker in enumerate(workers):
            if number >= _AT_A_TIME:
                workers[number - _AT_A_TIME].wait_ready()
            worker.launch()
        for worker in workers:
            worker.wait_ready()
        return self

    def stop(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._postgres.stop)
            stack.callback(self._redis.stop)
            super().stop()
