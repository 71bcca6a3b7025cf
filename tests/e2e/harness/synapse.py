"""A real Synapse on SQLite, listening on loopback in plain HTTP, as it does behind a proxy."""

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


class Synapse:
    """One homeserver. `url` is its own port, which only the tests and the gateway use."""

    def __init__(self, folder: Path, server_name: str, public_baseurl: str, extra: dict | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.server_name = server_name
        self.port = free_port()
        self.metrics_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config_file = folder / "homeserver.yaml"
        config = self._config(public_baseurl) | (extra or {})
        self.config_file.write_text(yaml.safe_dump(config))
        self._process: Process | None = None

    def _config(self, public_baseurl: str) -> dict:
        folder = self.folder
        key_file = folder / "signing.key"
        with key_file.open("w") as out:
            write_signing_keys(out, (generate_signing_key("a_test"),))
        log_file = folder / "log.yaml"
        log_file.write_text(yaml.safe_dump(_LOGGING))
        limits = {
            name: _UNLIMITED
            for name in ("rc_message", "rc_registration", "rc_joins_per_room", "rc_admin_redaction")
        }
        limits["rc_login"] = {"address": _UNLIMITED, "account": _UNLIMITED, "failed_attempts": _UNLIMITED}
        limits["rc_joins"] = {"local": _UNLIMITED, "remote": _UNLIMITED}
        return limits | {
            "server_name": self.server_name,
            "public_baseurl": public_baseurl,
            "pid_file": str(folder / "synapse.pid"),
            "listeners": [
                {
                    "port": self.port,
                    "bind_addresses": ["127.0.0.1"],
                    "type": "http",
                    "tls": False,
                    "x_forwarded": True,
                    "request_id_header": "X-Request-Id",
                    "resources": [{"names": ["client", "federation"]}],
                },
                {"port": self.metrics_port, "bind_addresses": ["127.0.0.1"], "type": "metrics"},
            ],
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
        self._process = Process(
            f"Synapse {self.server_name}",
            [sys.executable, "-m", "synapse.app.homeserver", "-c", str(self.config_file)],
            self.folder / "synapse.log",
        )
        self._process.wait_ready(lambda: self.get("/health") == b"OK", 60)
        return self

    def stop(self) -> None:
        if self._process:
            self._process.stop()

    @property
    def log(self) -> str:
        return (self.folder / "synapse.log").read_text(errors="replace")

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read()

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

    def in_flight(self, servlet: str) -> int:
        """How many requests of this servlet Synapse is working on right now, from its metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        pattern = rf'synapse_http_server_in_flight_requests_count\{{[^}}]*servlet="{servlet}"[^}}]*\}} (\S+)'
        return sum(int(float(value)) for value in re.findall(pattern, text))


_LOGGING = {
    "version": 1,
    "formatters": {"line": {"format": "%(asctime)s %(name)s %(levelname)s %(request)s %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}
    },
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "disable_existing_loggers": False,
}
