"""A real Synapse, by default on SQLite, listening on loopback in plain HTTP, as it does behind a proxy."""

import hashlib
import hmac
import json
import re
import sys
import urllib.request
from pathlib import Path

import yaml
from signedjson.key import generate_signing_key, write_signing_keys

from .ports import free_port
from .process import Process

REGISTRATION_SECRET = "only-for-this-test"
_UNLIMITED = {"per_second": 10000, "burst_count": 10000}


class SynapseProcess:
    """One process of a homeserver, with a port, a log and metrics of its own."""

    def __init__(self, name: str, folder: Path, app: str, config_files: list[Path]):
        self.name = name
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log_file = folder / f"{name}.log"
        self._argv = [sys.executable, "-m", f"synapse.app.{app}"]
        self._argv += [part for file in config_files for part in ("-c", str(file))]
        self._process: Process | None = None

    def listeners(self, *resources: str) -> list[dict]:
        """Its listeners as Synapse's configuration has them: one with these resources, and one for metrics."""
        return [
            {
                "port": self.port,
                "bind_addresses": ["127.0.0.1"],
                "type": "http",
                "tls": False,
                "x_forwarded": True,
                "request_id_header": "X-Request-Id",
                "resources": [{"names": list(resources)}],
            },
            {"port": self.metrics_port, "bind_addresses": ["127.0.0.1"], "type": "metrics"},
        ]

    def launch(self) -> None:
        """Starts it without waiting for it. It ends with the thread that called this."""
        self._process = Process(f"Synapse's {self.name}", self._argv, self._log_file)

    def wait_ready(self) -> None:
        assert self._process, "it has not been launched"
        self._process.wait_ready(lambda: self.get("/health") == b"OK", 60)

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def revive(self) -> None:
        """Starts it if it is not there."""
        if not self._process or not self._process.running():
            self.start()

    def terminate(self) -> None:
        """Asks it to end; `stop` waits for that."""
        if self._process:
            self._process.terminate()

    def stop(self) -> None:
        if self._process:
            self._process.stop()

    def kill(self) -> None:
        if self._process:
            self._process.kill()

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read()

    def in_flight(self, servlet: str) -> int:
        """How many requests of this servlet it is working on right now, from its metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        pattern = rf'synapse_http_server_in_flight_requests_count\{{[^}}]*servlet="{servlet}"[^}}]*\}} (\S+)'
        return sum(int(float(value)) for value in re.findall(pattern, text))


class Synapse:
    """One homeserver, here a single process. `url` is the port of its main process, which only the tests and the
    gateway use; `media_url` is where the media repository is.
    """

    def __init__(self, folder: Path, server_name: str, public_baseurl: str, extra: dict | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.server_name = server_name
        self.config_file = folder / "homeserver.yaml"
        self.main = SynapseProcess("main", folder, "homeserver", [self.config_file])
        self.port, self.url = self.main.port, self.main.url
        self.config_file.write_text(yaml.safe_dump(self._config(public_baseurl) | (extra or {})))

    @property
    def processes(self) -> list[SynapseProcess]:
        """All its processes, the main process first."""
        return [self.main]

    @property
    def media_url(self) -> str:
        return self.url

    def upstreams(self) -> dict[str, dict]:
        """Its processes, as the gateway's configuration has them."""
        return {"main": {"address": f"127.0.0.1:{self.port}"}}

    def _config(self, public_baseurl: str) -> dict:
        folder = self.folder
        key_file = folder / "signing.key"
        with key_file.open("w") as out:
            write_signing_keys(out, (generate_signing_key("a_test"),))
        log_file = folder / "log.yaml"
        log_file.write_text(yaml.safe_dump(_LOGGING))
        limits = {
            name: _UNLIMITED
            for name in (
                "rc_message",
                "rc_registration",
                "rc_joins_per_room",
                "rc_admin_redaction",
                "rc_room_creation",
            )
        }
        limits["rc_login"] = {"address": _UNLIMITED, "account": _UNLIMITED, "failed_attempts": _UNLIMITED}
        limits["rc_presence"] = {"per_user": _UNLIMITED}
        limits["rc_joins"] = {"local": _UNLIMITED, "remote": _UNLIMITED}
        return limits | {
            "server_name": self.server_name,
            "public_baseurl": public_baseurl,
            "pid_file": str(folder / "synapse.pid"),
            "listeners": self.main.listeners("client", "federation"),
            "enable_metrics": True,
            "database": {"name": "sqlite3", "args": {"database": str(folder / "synapse.db")}},
            "log_config": str(log_file),
            "media_store_path": str(folder / "media"),
            "signing_key_path": str(key_file),
            "macaroon_secret_key": "only-for-this-test",
            "form_secret": "only-for-this-test",
            "registration_shared_secret": REGISTRATION_SECRET,
            "report_stats": False,
            "trusted_key_servers": [],
            "ip_range_blacklist": [],  # the other homeserver is on this machine too
            "max_upload_size": "50M",
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "bcrypt_rounds": 4,  # many short-lived accounts
        }

    def start(self) -> "Synapse":
        self.main.start()
        return self

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.stop()

    @property
    def log(self) -> str:
        """What all its processes have logged."""
        return "".join(process.log for process in self.processes)

    def get(self, path: str) -> bytes:
        return self.main.get(path)

    def in_flight(self, servlet: str) -> int:
        """How many requests of this servlet its processes are working on right now."""
        return sum(process.in_flight(servlet) for process in self.processes)

    def register(self, localpart: str, password: str, admin: bool = False) -> dict:
        """Makes an account through the shared-secret API, which only Synapse's own port offers."""
        path = "/_synapse/admin/v1/register"
        nonce = json.loads(self.get(path))["nonce"]
        parts = [nonce, localpart, password, "admin" if admin else "notadmin"]
        mac = hmac.new(REGISTRATION_SECRET.encode(), "\0".join(parts).encode(), hashlib.sha1)
        body = {
            "nonce": nonce,
            "username": localpart,
            "password": password,
            "admin": admin,
            "mac": mac.hexdigest(),
        }
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


_LOGGING = {
    "version": 1,
    "formatters": {"line": {"format": "%(asctime)s %(name)s %(levelname)s %(request)s %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}
    },
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "disable_existing_loggers": False,
}
