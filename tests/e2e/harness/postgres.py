"""A PostgreSQL of our own, from Debian's package: on a Unix socket, and gone with the test."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .process import Process

USER = "postgres"  # of Debian's package, and of the database


class Postgres:
    """One cluster with one database. `folder` is where its socket is, `log` what it says.

    Its files are in a short folder of their own: a socket's path has 107 bytes at most, and the user that the server
    must run as cannot always enter ours.
    """

    def __init__(self, log: Path):
        self._log = log
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
        self._data = self.folder / "data"
        self._process: Process | None = None

    def start(self) -> "Postgres":
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
        self._run("initdb", "--pgdata", str(self._data), "--username", USER, "--auth", "trust",
                  "--encoding", "UTF8", "--no-locale", "--no-sync")  # fmt: skip
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            # Nothing here outlives the test.
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        argv = [*_as_its_user(), _program("postgres"), "-D", str(self._data), *options]
        self._process = Process("PostgreSQL", argv, self._log)
        self._process.wait_ready(self._answers, 30)
        return self

    def synapse_config(self) -> dict:
        """The `database` section of a Synapse. Each of its processes has a pool of its own."""
        args = {"user": USER, "dbname": USER, "host": str(self.folder), "cp_min": 1, "cp_max": 5}
        return {"name": "psycopg2", "args": args}

    def stop(self) -> None:
        if self._process:
            self._process.stop()
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        argv = [_program("pg_isready"), "--quiet", "--host", str(self.folder), "--username", USER]
        return subprocess.run(argv, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        argv = [*_as_its_user(), _program(program), *arguments]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _program(name: str) -> str:
    """Debian keeps the servers of all releases side by side, and out of PATH: the newest one."""
    found = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(found, key=lambda path: int(path.parents[1].name), default=None)
    if newest is None:
        raise FileNotFoundError(f"no PostgreSQL below /usr/lib/postgresql: {name} is missing")
    return str(newest)


def _as_its_user() -> list[str]:
    """PostgreSQL refuses to run as root. A change of user also forgets that we end with our parent."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--pdeathsig", "INT", "--"]
