"""The proxies under measurement: each one a row, a configuration in conf/ and a way to start it."""

import base64
import dataclasses
import grp
import json
import os
import pathlib
import pwd
import re
import subprocess

import processes

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
GATEWAY = pathlib.Path(os.environ.get("GATEWAY_BIN", REPOSITORY / "target/release/synapse-gateway"))

# Outside the range that Linux takes the ports of outgoing connections from.
UPSTREAM_PORT = 21008
SINK_PORT = 21009
MEBIBYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    title: str
    port: int
    template: str
    program: str
    arguments: tuple
    version: tuple
    environment: tuple = ()
    # What else is filled into the template, and files beside it that are filled in too.
    values: tuple = ()
    more: tuple = ()

    def executable(self):
        return str(GATEWAY) if self.program == "synapse-gateway" else processes.find(self.program)


NGINX = ("-c", "{config}", "-e", "{dir}/error.log")
PEERS = (
    Peer(
        "gateway",
        "synapse-gateway",
        21443,
        "gateway.yaml",
        "synapse-gateway",
        ("run", "-c", "{config}"),
        ("--version",),
    ),
    Peer("nginx-doc", "nginx as documented", 21444, "nginx-doc.conf", "nginx", NGINX, ("-v",)),
    Peer("nginx-keepalive", "nginx keep-alive", 21445, "nginx-keepalive.conf", "nginx", NGINX, ("-v",)),
    Peer("haproxy", "HAProxy", 21446, "haproxy.cfg", "haproxy", ("-db", "-f", "{config}"), ("-v",)),
    Peer(
        "caddy",
        "Caddy",
        21447,
        "Caddyfile",
        "caddy",
        ("run", "--adapter", "caddyfile", "--config", "{config}"),
        ("version",),
        # Go takes one thread; and Caddy keeps its state in the home directory unless told otherwise.
        (("GOMAXPROCS", "1"), ("XDG_CONFIG_HOME", "{dir}"), ("XDG_DATA_HOME", "{dir}")),
    ),
)
UPSTREAM = Peer("upstream", "the stub", UPSTREAM_PORT, "upstream.conf", "nginx", NGINX, ("-v",))


class Bench:
    """The directory of a run: certificate, bodies, configurations, logs; and the servers started in it."""

    def __init__(self, directory):
        self.directory = directory
        self.servers = {}
        # Apart from the logs, as on any server: the gateway watches this directory.
        self.tls = directory / "tls"
        self.certificate = self.tls / "cert.pem"
        self.key = self.tls / "key.pem"
        self.certificate_and_key = self.tls / "cert-and-key.pem"
        self.media = directory / "media.bin"
        self.payload = directory / "payload"
        self.signing_key = directory / "signing.key"
        self.small_body = small_body()
        self.proxy_cores, self.other_cores = processes.cores()

    def prepare(self):
        self.tls.mkdir(exist_ok=True)
        self.media.write_bytes(os.urandom(MEBIBYTE))
        self.payload.write_text("x" * 1024)
        self.signing_key.write_text(f"ed25519 a_bench {base64.b64encode(os.urandom(32)).decode().rstrip('=')}\n")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "30", "-subj", "/CN=example.test", "-addext", "subjectAltName=DNS:example.test"]
        command += ["-keyout", self.key, "-out", self.certificate]
        subprocess.run(command, check=True, capture_output=True)
        self.certificate_and_key.write_text(self.certificate.read_text() + self.key.read_text())

    def render(self, template, directory, port, values=()):
        values = {
            "DIR": directory,
            "LOG": directory / "access.log",
            "PORT": port,
            "UPSTREAM_PORT": UPSTREAM_PORT,
            "SINK_PORT": SINK_PORT,
            "CERT": self.certificate,
            "KEY": self.key,
            "CERT_AND_KEY": self.certificate_and_key,
            "MEDIA": self.media,
            "SMALL_BODY": self.small_body,
            "SIGNING_KEY": self.signing_key,
            **dict(values),
            "USER": f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}",
        }
        text = (HERE / "conf" / template).read_text()
        config = directory / template
        config.write_text(re.sub(r"@([A-Z_]+)@", lambda name: str(values[name[1]]), text))
        return config

    def start(self, peer, on_cores):
        directory = self.directory / peer.name
        directory.mkdir()
        for template in peer.more:
            self.render(template, directory, peer.port, peer.values)
        config = self.render(peer.template, directory, peer.port, peer.values)
        places = {"config": config, "dir": directory}
        command = [peer.executable(), *(argument.format(**places) for argument in peer.arguments)]
        environment = {key: value.format(**places) for key, value in peer.environment}
        self.servers[peer.name] = processes.Server(peer.name, command, peer.port, directory, on_cores, environment)

    def start_upstream(self):
        self.start(UPSTREAM, self.other_cores)

    def start_peer(self, peer):
        self.start(peer, self.proxy_cores)

    def empty_logs(self):
        """Keeps the access logs, which grow by megabytes a second, from filling the disk."""
        for server in self.servers:
            for log in ("access.log", "output.log"):
                path = self.directory / server / log
                if path.exists():
                    os.truncate(path, 0)

    def stop(self):
        for server in self.servers.values():
            server.stop()


def version_of(peer):
    answer = subprocess.run(
        [peer.executable(), *peer.version], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10
    ).stdout
    number = re.search(r"\d+\.\d+[\w.+~-]*", answer)
    return number[0] if number else answer.strip()[:40]


def small_body():
    """1 KiB of JSON in the shape of Synapse's answer to /versions."""
    document = {
        "versions": ["r0.6.1", *(f"v1.{minor}" for minor in range(1, 13))],
        "unstable_features": {f"org.matrix.msc{number}": True for number in range(3000, 3900, 40)},
        "padding": "",
    }
    document["padding"] = "x" * (1024 - len(json.dumps(document)))
    return json.dumps(document)
