"""A PostgreSQL of Debian's for one homeserver, on loopback, whose data end with it."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from .ports import free_port
from .process import Process

USER = "synapse"
#: PostgreSQL refuses to run as root.
_UNPRIVILEGED = "nobody"


def _programs() -> Path:
    """Debian keeps those of each version in a folder of its own, away from PATH."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise FileNotFoundError("no PostgreSQL: run tests/install-deps.sh e2e")
    return max(found, key=lambda program: int(re.sub(r"\D", "", program.parts[-3]))).parent


class Postgres:
    """One database. It keeps nothing safe: what it has is worthless after the test."""

    def __init__(self, log: Path):
        self.port = free_port()
        self._log = log
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self._process: Process | None = None
        self._data: Path | None = None

    def start(self) -> "Postgres":
        # Not below the folder of the run, which another user may not be able to enter.
        self._data = Path(tempfile.mkdtemp(prefix="synapse-gateway-postgres-"))
        if self._user:
            shutil.chown(self._data, self._user)
        programs = _programs()
        made = subprocess.run(
            [str(programs / "initdb"), f"--pgdata={self._data}", f"--username={USER}", "--auth=trust"]
            + ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"],
            user=self._user,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed: {made.stdout}{made.stderr}")
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        argv = [str(programs / "postgres"), "-D", str(self._data)]
        argv += [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        self._process = Process("PostgreSQL", argv, self._log, user=self._user)
        self._process.wait_ready(self._answers, 30)
        return self

    def _answers(self) -> bool:
        argv = [str(_programs() / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        return subprocess.run(argv, check=False).returncode == 0

    def synapse_config(self, pool: int) -> dict:
        """The `database` of a homeserver each of whose processes keeps up to `pool` connections."""
        args = {"user": USER, "dbname": "postgres", "host": "127.0.0.1", "port": self.port}
        return {"name": "psycopg2", "args": args | {"cp_min": 1, "cp_max": pool}}

    def stop(self) -> None:
        if self._process:
            self._process.stop(by=signal.SIGINT)  # does not wait for its clients to leave
        if self._data:
            shutil.rmtree(self._data)
