"""The load generator wrk, and how it is told what to ask of rendezvous sessions."""

import json
import math

import devices
import processes
import scenarios

CLIENTS = 8


def command(bench, target, operation, seconds, sessions=()):
    """One thread, unless it writes: that takes one for each connection. Each one to be woken costs the server 2 µs."""
    lines = bench.directory / "sessions"
    lines.write_text("".join(f"{session.path} {session.etag}\n" for session in sessions))
    scheme = "http" if target.transport == "plain" else "https"
    url = f"{scheme}://127.0.0.1:{target.port}{devices.ENDPOINTS[target.protocol]}"
    threads = CLIENTS if operation == "write" else 1
    words = ["wrk", f"-t{threads}", f"-c{CLIENTS}", f"-d{math.ceil(seconds)}s", "--timeout=10s"]
    words += ["-s", scenarios.HERE / "rendezvous.lua", url, "--", operation, bench.payload, lines]
    return [processes.find("wrk"), *map(str, words[1:])]


def summary(output):
    """How long it took, p99 in ms, broken connections, and how often each status came."""
    try:
        found = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        raise processes.BenchError(f"wrk says: {output[-500:]}") from None
    found["statuses"] = {int(status): count for status, count in found["statuses"].items()}
    return found
