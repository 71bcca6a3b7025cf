#!/usr/bin/env python3
"""Measures rendezvous sessions in synapse-gateway beside Synapse's own and those of its former module, in one run.

Each server has one core, and whoever asks has the others. Synapse speaks plain HTTP, so the gateway is measured
without TLS too.
"""

import dataclasses
import math
import statistics
import subprocess
import time

import devices
import flood
import implementations
import memory
import peers
import processes
import report
import runs
import scenarios
import wrk
from processes import BenchError
from runs import say

COLUMNS = ("server", "requests/s", "min–max", "p99 ms", "CPU µs/request", "min–max", "× requests/s", "CPU ÷")
MOST_FAULTS = 20


@dataclasses.dataclass(frozen=True)
class Operation:
    name: str
    title: str
    status: int


OPERATIONS = (
    Operation("create", "Create: POST of 1 KiB → 201", 201),
    Operation("write", "Write: PUT of 1 KiB with If-Match → 202", 202),
    Operation("poll", "Poll: GET with If-None-Match → 304", 304),
    Operation("read", "Read: GET of 1 KiB → 200", 200),
)
FLOOD = Operation("flood", "Log-ins of others during a flood of creations from one address", 201)
MEMORY = Operation("memory", "Memory of as many sessions as there may be", 201)


def arguments():
    parser = runs.options_of(__doc__)
    parser.add_argument("--only", metavar="OPERATION,...", **runs.subset((*OPERATIONS, FLOOD, MEMORY)))
    parser.add_argument("--targets", metavar="TARGET,...", **runs.subset(implementations.TARGETS))
    options = runs.parse(parser)
    options.flooded = implementations.FLOODED if FLOOD in options.only else ()
    # It takes minutes, and a gigabyte.
    options.filled = implementations.FILLED if MEMORY in options.only and not options.quick else {}
    options.only = [operation for operation in options.only if operation in OPERATIONS]
    options.targets = options.targets if options.only else []
    wanted = [target.server for target in (*options.targets, *options.flooded, *options.filled.values())]
    options.peers = [server for server in implementations.SERVERS if server in wanted]
    return options


def install(options):
    processes.require({"h2load", "nginx", "openssl", "wrk"})
    lists = {implementations.BUILT_IN: ("demo/requirements.txt", "target/venv")}
    lists[implementations.MODULE] = ("bench/requirements-1.80.txt", "target/venv-1.80")
    for server, (requirements, venv) in lists.items():
        if server in options.peers:
            command = [peers.REPOSITORY / "tests/venv.sh", f"tests/{requirements}", venv]
            if subprocess.run(command).returncode != 0:
                raise BenchError(f"{requirements} cannot be installed")


def verify(bench, server, protocol, port):
    """The rules of a session, so that nothing is measured that answers without doing its work."""
    device = devices.Device(port, protocol)
    payload = bench.payload.read_bytes()
    session = device.open(b"first")
    stale = devices.Session(session.path, session.etag)
    try:
        device.poll(session)
        device.write(session, payload)
        device.ask("PUT", stale.path, 412, b"late", If_Match=stale.etag)
        if device.await_other(stale) != payload or device.read(session) != payload:
            raise BenchError(f"{server.title} gives another payload back")
        device.poll(session)
        device.remove(session)
        device.ask("GET", session.path, 404)
    except devices.Unexpected as error:
        raise BenchError(f"{server.title}, {protocol}: {error}") from None
    finally:
        device.close()


def sessions_for(bench, target, count, faults):
    """New sessions. The module in Synapse leaves one request in many thousands without an answer: that is told."""
    device = devices.Device(target.plain_port, target.protocol)
    payload = bench.payload.read_bytes()
    sessions = []
    while len(sessions) < count:
        try:
            sessions.append(device.open(payload))
        except devices.Unexpected as error:
            raise BenchError(f"no session can be opened: {error}") from None
        except TimeoutError:
            faults.append(f"{target.title}: no answer to the creation of a session within {devices.PATIENCE} s")
            say(f"FAILED {faults[-1]}")
            if len(faults) > MOST_FAULTS:
                raise BenchError("too many faults") from None
            device.close()
    device.close()
    return sessions


class Bursts:
    """Runs one burst and says what it cost. Over HTTP/2 the number of requests that fill one has to be found."""

    def __init__(self, bench, options, faults):
        self.bench = bench
        self.options = options
        self.faults = faults
        self.counts = {}

    def __call__(self, operation, target):
        server = self.bench.servers[target.server.name]
        server.check()
        generate = self.over_http2 if target.transport == "h2" else self.over_http1
        opened = 0 if operation.name == "create" else wrk.CLIENTS
        sessions = sessions_for(self.bench, target, opened, self.faults)
        before = server.cpu_ns()
        requests, seconds, p99_ms = generate(operation, target, sessions)
        if operation.name == "create":
            # What is created costs something once more when it expires.
            time.sleep(target.linger)
        cpu = server.cpu_ns() - before
        server.check()
        return scenarios.Burst(requests, seconds, p99_ms, cpu / requests / 1e3)

    def over_http1(self, operation, target, sessions):
        command = wrk.command(self.bench, target, operation.name, self.options.seconds, sessions)
        found = wrk.summary(scenarios.run(command, self.bench, 30 + 10 * self.options.seconds))
        requests = found["statuses"].get(operation.status, 0)
        if found["broken"] or set(found["statuses"]) != {operation.status}:
            raise BenchError(f"answers {found['statuses']}, and {found['broken']} connections broken")
        return requests, found["seconds"], found["p99_ms"]

    def over_http2(self, operation, target, sessions):
        path, headers, body = devices.ENDPOINTS[target.protocol], (), None
        if operation.name == "create":
            headers, body = ("content-type: text/plain",), self.bench.payload
        else:
            # h2load has the same headers for all requests, and so one session for all connections.
            path = sessions[0].path
            headers = (f"if-none-match: {sessions[0].etag}",) if operation.name == "poll" else ()
        answer = {"read": 1024, "poll": 0}.get(operation.name)
        scenario = scenarios.Scenario(
            operation.name, "", path, "h2", wrk.CLIENTS, 1, 4000, answer, False, operation.status, headers, body
        )
        requests = self.counts.get(operation, scenario.trial)
        timeout = 30 + 10 * self.options.seconds
        seconds, latencies = scenarios.h2load(scenario, target.port, requests, self.bench, timeout)
        rate = requests / seconds
        self.counts.setdefault(operation, round(rate * math.ceil(self.options.seconds)))
        return requests, seconds, scenarios.percentile(latencies, 0.99) * 1e3


def row(target, by_target):
    bursts = by_target.get(target.name)
    if not bursts:
        return [target.title, "failed", *["–"] * 6]
    base = by_target.get(target.base)
    rates, cpu = [burst.rate for burst in bursts], [burst.cpu_us for burst in bursts]
    faster, cheaper = report.ratio(bursts, base, "rate"), report.ratio(base, bursts)
    return [
        target.title,
        f"{statistics.median(rates):.0f}",
        f"{min(rates):.0f}–{max(rates):.0f}",
        f"{statistics.median(burst.p99_ms for burst in bursts):.2f}",
        report.digits(statistics.median(cpu)),
        f"{report.digits(min(cpu))}–{report.digits(max(cpu))}",
        *("–" if value is None else f"{value:.1f}" for value in (faster, cheaper)),
    ]


def tables(samples, options):
    parts = []
    for operation in options.only:
        targets = [target for target in options.targets if writes(operation, target)]
        rows = [list(COLUMNS), *(row(target, samples[operation.name]) for target in targets)]
        parts.append(f"## {operation.title}\n\n{report.markdown(rows)}")
    return parts


def writes(operation, target):
    """Nothing here writes over HTTP/2: h2load cannot send the tag that it was answered with."""
    return operation.name != "write" or target.transport != "h2"


def header(facts):
    lines = [
        f"# Rendezvous sessions side by side, {facts['date']}",
        "",
        *report.setting(facts),
        f"* {wrk.CLIENTS} connections, kept alive, and as many sessions (over HTTP/2 one session for all); every answer's",
        "  status is checked. The gateway's `rendezvous.limits` are off, but not in the flood.",
        "* CPU is the server's user and system time, for creations until what they opened has expired (the two in",
        "  Synapse keep so few sessions that the next ones push them out). Medians; “× requests/s” and “CPU ÷” say how",
        "  many times more the gateway answers, and less it needs, than what else serves the protocol: medians of the",
        "  ratios within each round.",
        "* Requests/s and p99 are those of a closed loop whose load generator may be the slower side, and fall with all",
        "  that the machine does beside; “CPU ÷” is what “× requests/s” comes to where the server is the slower side.",
        "* TLS 1.3 with AES-128-GCM and X25519; every server writes its log of requests to a file.",
        f"* The flood: {wrk.CLIENTS} connections from 127.0.0.1 in a closed loop, at a lower priority than the devices,",
        f"  which begin {flood.PER_SECOND} log-ins a second, each from two addresses of their own. Latencies are those",
        "  of a log-in's single requests, seen from a Python client.",
        *report.failures(facts),
    ]
    return "\n".join(lines)


def bench_once(bench, options, faults):
    install(options)
    facts = runs.facts_of(bench, options)
    load_before = runs.load_average()
    bench.prepare()
    bench.start_upstream()
    for server in options.peers:
        bench.start_peer(server)
    for target in (*options.targets, *options.flooded):
        verify(bench, target.server, target.protocol, target.plain_port)
    say("all keep the rules of a session")
    pairs = [(operation, target) for operation in options.only for target in options.targets]
    pairs = [pair for pair in pairs if writes(*pair)]
    samples = {}
    if pairs:
        samples = runs.interleave(options.rounds, pairs, Bursts(bench, options, faults), faults, bench.empty_logs)
    parts = tables(samples, options)
    if options.flooded:
        say("flooding")
        outcomes = flood.measure(bench, options.flooded, 3 if options.quick else 10)
        parts.append(f"## {FLOOD.title}\n\n{flood.table(outcomes)}")
    if options.filled:
        say("filling up")
        places = dict(implementations.STORED.values)["MAX_ENTRIES"]
        rows = [(target.title, memory.fill(bench, target, name, places)) for name, target in options.filled.items()]
        parts.append(f"## {MEMORY.title}\n\n{memory.table(rows)}")
    body = "\n\n".join(parts)
    facts |= {"load": f"{load_before}, {runs.load_average()}", "faults": faults}
    say(f"\n{header(facts)}\n\n{body}\n")
    path = runs.result_file(facts, options, "-rendezvous")
    say(f"result: {report.write(path, header(facts), facts, body, samples)}")


if __name__ == "__main__":
    runs.conduct(arguments(), bench_once)
