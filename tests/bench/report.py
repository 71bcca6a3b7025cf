"""Medians, the table on the screen, and the result file."""

import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess

import peers

DOCUMENTED = "nginx-doc"
KEEPALIVE = "nginx-keepalive"
COLUMNS = ("proxy", "CPU µs/request", "min–max", "× nginx doc.", "× nginx k.-a.", "requests/s", "p99 ms")


def digits(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ratio(own, other, figure="cpu_us"):
    """The median over the rounds of the ratio within a round, which leaves the machine's drift out."""
    if not own or not other:
        return None
    return statistics.median(getattr(mine, figure) / getattr(theirs, figure) for mine, theirs in zip(own, other))


def row(peer, bursts, by_peer):
    if not bursts:
        return [peer.title, "failed", *["–"] * 5]
    cpu = [burst.cpu_us for burst in bursts]
    ratios = [ratio(bursts, by_peer.get(base)) for base in (DOCUMENTED, KEEPALIVE)]
    return [
        peer.title,
        digits(statistics.median(cpu)),
        f"{digits(min(cpu))}–{digits(max(cpu))}",
        *("–" if value is None else f"{value:.2f}" for value in ratios),
        f"{statistics.median(burst.rate for burst in bursts):.0f}",
        f"{statistics.median(burst.p99_ms for burst in bursts):.1f}",
    ]


def markdown(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]

    def line(cells):
        first, *numbers = zip(cells, widths)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in numbers)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths))
    return "\n".join([line(rows[0]), f"|{rule}|", *map(line, rows[1:])])


def tables(samples, scenarios, chosen):
    parts = []
    for scenario in scenarios:
        by_peer = samples[scenario.name]
        rows = [list(COLUMNS), *(row(peer, by_peer.get(peer.name), by_peer) for peer in chosen)]
        parts.append(f"## {scenario.title} (`{scenario.name}`)\n\n{markdown(rows)}")
    return "\n\n".join(parts)


def summary(samples, scenarios, chosen):
    """One line a scenario: each proxy's CPU as a ratio to nginx with upstream keep-alive."""
    rows = [["scenario", *(peer.title for peer in chosen)]]
    for scenario in scenarios:
        by_peer = samples[scenario.name]
        values = [ratio(by_peer.get(peer.name), by_peer.get(KEEPALIVE)) for peer in chosen]
        rows.append([scenario.name, *("–" if value is None else f"{value:.2f}" for value in values)])
    return f"## CPU per request, as a ratio to nginx keep-alive (smaller is better)\n\n{markdown(rows)}"


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "cpu": re.sub(r"\s+", " ", model[1]) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release().split("-")[0],
    }


def slug(facts):
    words = re.sub(r"\((?:R|TM)\)|\b(?:CPU|Processor)\b", " ", facts["cpu"])
    return re.sub(r"[^a-z0-9]+", "-", f"{words} {facts['cores']} cores".lower()).strip("-")


def commit():
    command = ["git", "-C", peers.REPOSITORY, "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def setting(facts):
    """What every result says about the machine and the run."""
    proxy_cores, other_cores = (", ".join(map(str, facts[key])) for key in ("proxy_cores", "other_cores"))
    return [
        f"* Machine: {facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}.",
        f"* Measured: {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}.",
        f"* Commit {facts['commit']}. Load average of the machine before and after: {facts['load']}.",
        f"* {facts['rounds']} interleaved rounds, bursts of about {facts['seconds']} s; what is measured on core",
        f"  {proxy_cores}, load generator and upstream on {other_cores}.",
    ]


def failures(facts):
    return [f"* Failed: {fault.splitlines()[0]}" for fault in facts["faults"]]


def header(facts):
    lines = [
        f"# Proxies side by side, {facts['date']}",
        "",
        *setting(facts),
        "* CPU is the proxy's user and system time over all its processes. Medians; a ratio is the median of the",
        "  ratios within each round. For 1 MiB the cost of a request is that of a megabyte.",
        "* TLS 1.3 with AES-128-GCM, X25519 and an ECDSA P-256 certificate; every proxy writes an access log.",
        "* Requests/s and p99 are those of a closed loop whose load generator may be the slower side.",
        *failures(facts),
    ]
    return "\n".join(lines)


def raw(burst):
    return {"cpu_us": burst.cpu_us, "requests_per_s": burst.rate, "p99_ms": burst.p99_ms, "requests": burst.requests}


def write(path, head, facts, body, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}\n\n{body}\n")
    numbers = {
        scenario: {peer: [raw(burst) for burst in bursts] for peer, bursts in by_peer.items()}
        for scenario, by_peer in samples.items()
    }
    path.with_suffix(".json").write_text(json.dumps({"facts": facts, "samples": numbers}, indent=1) + "\n")
    return path


def today():
    return datetime.date.today().isoformat()
