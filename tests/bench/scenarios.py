"""What is asked of every proxy, and the load generators that ask it."""

import collections
import dataclasses
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

import peers
import processes

HERE = pathlib.Path(__file__).resolve().parent
VERSIONS = "/_matrix/client/versions"
DOWNLOAD = "/_matrix/media/v3/download/example.test/bench"
UPLOAD = "/_matrix/media/v3/upload"
CIPHER = "TLS_AES_128_GCM_SHA256"


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    path: str
    protocol: str
    clients: int
    streams: int
    # Requests of the burst that warms everything up and tells the rate.
    trial: int
    # Bytes of an answer's body; None where they are not fixed.
    answer: int | None
    upload: bool = False
    # The status of every answer, and what is sent beside the request line.
    status: int = 200
    headers: tuple = ()
    body: pathlib.Path | None = None

    def requests_for(self, trial, seconds):
        """As many requests as fill a burst, and at least one a stream."""
        streams = self.clients * self.streams
        return max(round(trial.rate * seconds / streams), 1) * streams


SCENARIOS = (
    Scenario("h1-small", "HTTP/1.1, 1 KiB JSON, kept-alive TLS", VERSIONS, "h1", 16, 1, 4000, 1024),
    Scenario("h2-small", "HTTP/2, 1 KiB JSON", VERSIONS, "h2", 4, 8, 4000, 1024),
    Scenario("h1-down", "HTTP/1.1, 1 MiB down", DOWNLOAD, "h1", 4, 1, 200, peers.MEBIBYTE),
    Scenario("h2-down", "HTTP/2, 1 MiB down", DOWNLOAD, "h2", 4, 1, 200, peers.MEBIBYTE),
    Scenario("h1-up", "HTTP/1.1, 1 MiB up", UPLOAD, "h1", 4, 1, 200, None, upload=True),
    Scenario("h2-up", "HTTP/2, 1 MiB up", UPLOAD, "h2", 4, 1, 200, None, upload=True),
    Scenario("tls-new", "new TLS 1.3 connection, one HTTP/1.1 request", VERSIONS, "tls", 4, 1, 400, 1024),
)


@dataclasses.dataclass(frozen=True)
class Burst:
    requests: int
    seconds: float
    p99_ms: float
    cpu_us: float

    @property
    def rate(self):
        return self.requests / self.seconds


def percentile(values, share):
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]


def run(command, bench, timeout):
    environment = {**os.environ, "OPENSSL_CONF": str(HERE / "conf/openssl.cnf")}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, bench.other_cores),
        )
    except subprocess.TimeoutExpired:
        raise processes.BenchError(f"no end after {timeout:.0f} s") from None
    if done.returncode != 0:
        raise processes.BenchError(f"{command[0]} failed: {done.stdout[-500:]} {done.stderr[-500:]}")
    return done.stdout


def h2load(scenario, port, requests, bench, timeout):
    """Returns (seconds, latencies in seconds). Every request has to be answered in full, with the right status."""
    log = bench.directory / "h2load.log"
    log.unlink(missing_ok=True)
    clients = min(scenario.clients, requests)
    command = [processes.find("h2load"), f"-n{requests}", f"-c{clients}", f"-m{scenario.streams}", "-t1"]
    # The windows of a browser; h2load's own are a gigabyte.
    command += ["-w23", "-W24", f"--tls13-ciphers={CIPHER}", "--groups=X25519", f"--log-file={log}"]
    command += [f"--connect-to=127.0.0.1:{port}"]
    command += ["--h1"] if scenario.protocol == "h1" else ["--npn-list=h2"]
    if scenario.upload:
        command += ["-d", str(bench.media), "-H", "content-type: application/octet-stream"]
    if scenario.body:
        command += ["-d", str(scenario.body)]
    command += [word for header in scenario.headers for word in ("-H", header)]
    output = run([*command, f"https://example.test:{port}{scenario.path}"], bench, timeout)

    protocol = {"h1": "http/1.1", "h2": "h2"}[scenario.protocol]
    expected = [f" {requests} succeeded, 0 failed, 0 errored, 0 timeout"]
    expected += ["TLS Protocol: TLSv1.3", f"Cipher: {CIPHER}", f"Application protocol: {protocol}"]
    if scenario.answer is not None:
        expected.append(f"({requests * scenario.answer}) data")
    for line in expected:
        if line not in output:
            raise processes.BenchError(f"h2load does not say “{line.strip()}”:\n{output[-900:]}")
    number, unit = re.search(r"finished in ([\d.]+)(us|ms|s),", output).groups()
    seconds = float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit]
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    statuses = collections.Counter(int(line[1]) for line in lines)
    if statuses != {scenario.status: requests}:
        raise processes.BenchError(f"not always {scenario.status}, but {dict(statuses)}")
    return seconds, [int(line[2]) / 1e6 for line in lines]


def tls_connections(scenario, port, requests, bench, timeout):
    command = [sys.executable, HERE / "tls_connections.py", port, scenario.path, requests, scenario.clients]
    answer = json.loads(run([str(word) for word in command], bench, timeout))
    if answer["failed"]:
        raise processes.BenchError(f"{answer['failed']} of {requests} connections failed: {answer['faults']}")
    return answer["seconds"], answer["latencies"]


def burst(scenario, peer, requests, bench, timeout):
    """One burst of requests, and what it cost the proxy."""
    generator = tls_connections if scenario.protocol == "tls" else h2load
    server = bench.servers[peer.name]
    server.check()
    before = server.cpu_ns()
    seconds, latencies = generator(scenario, peer.port, requests, bench, timeout)
    cpu = server.cpu_ns() - before
    server.check()
    return Burst(requests, seconds, percentile(latencies, 0.99) * 1e3, cpu / requests / 1e3)
