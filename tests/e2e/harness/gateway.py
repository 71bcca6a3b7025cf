"""The gateway binary under test, with a configuration file written for one test world."""

import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from .certificates import Authority, ServerCertificate
from .ports import free_port
from .process import Process

REPOSITORY = Path(__file__).resolve().parents[3]


def gateway_binary() -> Path:
    """GATEWAY_BIN, or the newer of the release and the debug build of this repository."""
    if named := os.environ.get("GATEWAY_BIN"):
        return Path(named)
    builds = [REPOSITORY / "target" / kind / "synapse-gateway" for kind in ("release", "debug")]
    found = [build for build in builds if build.exists()]
    if not found:
        raise FileNotFoundError(f"no gateway binary: build one, or set GATEWAY_BIN (looked at {builds})")
    return max(found, key=lambda build: build.stat().st_mtime)


class Gateway:
    """One running gateway with these listeners, all on 127.0.0.1:

    `url` TLS with HTTP/2 and HTTP/1.1; `http1_url` TLS with HTTP/1.1 only;
    `federation_port` TLS, federation endpoints only; `plain_url` without TLS.
    """

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        certificate: ServerCertificate,
        federation_port: int | None = None,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.authority = authority
        self.certificate = certificate
        self.tls_port, self.http1_port, self.plain_port = free_port(), free_port(), free_port()
        self.metrics_port = free_port()
        self.federation_port = federation_port or free_port()
        self.url = f"https://localhost:{self.tls_port}"
        self.http1_url = f"https://localhost:{self.http1_port}"
        self.plain_url = f"http://127.0.0.1:{self.plain_port}"
        self.config_file = folder / "gateway.yaml"
        self._process: Process | None = None

    def config(self, server_name: str, upstreams: dict[str, dict] | str, **sections: object) -> dict:
        """The base configuration, with these upstreams or the main process at this address.

        A section given by name replaces the one here.
        """
        if isinstance(upstreams, str):
            upstreams = {"main": {"address": upstreams}}
        base: dict[str, object] = {
            "version": 1,
            "server_name": server_name,
            "public_baseurl": f"{self.url}/",
            "listeners": [
                {"address": f"127.0.0.1:{self.tls_port}", "tls": True, "http2": True},
                {"address": f"127.0.0.1:{self.http1_port}", "tls": True, "http2": False},
                {"address": f"127.0.0.1:{self.federation_port}", "tls": True, "serve": ["federation"]},
                {"address": f"127.0.0.1:{self.plain_port}"},
            ],
            "tls": {
                "certificates": [{"cert": str(self.certificate.chain), "key": str(self.certificate.key)}],
                "unknown_sni": "default",
            },
            "forwarding": {"trusted_proxies": [], "request_id_header": "X-Request-Id"},
            "upstreams": upstreams,
            "rendezvous": {"enabled": True},
            "log": {"format": "json", "target": "stderr"},
            "metrics": {"address": f"127.0.0.1:{self.metrics_port}"},
        }
        return base | sections

    def start(self, config: dict) -> "Gateway":
        self.config_file.write_text(yaml.safe_dump(config, sort_keys=False))
        self._process = Process(
            "synapse-gateway",
            [str(gateway_binary()), "run", "-c", str(self.config_file)],
            self.folder / "gateway.log",
        )
        self._process.wait_ready(self._answers, 30)
        return self

    def _answers(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self.authority.file))
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5, context=trust):
                return True
        except urllib.error.HTTPError:
            return True  # it is up, and says that its upstream is not

    def stop(self) -> None:
        """Ends the gateway, which must still be running, end in order, and have kept free of panics."""
        if self._process is None:
            return
        was_running = self._process.running()
        code = self._process.stop(45)
        log = self._process.output()
        if not was_running or code != 0:
            how = "at our signal" if was_running else "during the tests"
            raise AssertionError(f"the gateway ended {how} with {code}:\n{log[-4000:]}")
        if "panicked at" in log:
            raise AssertionError(f"the gateway panicked:\n{log[log.index('panicked at') - 200 :][:4000]}")

    @property
    def log(self) -> str:
        return (self.folder / "gateway.log").read_text(errors="replace")
