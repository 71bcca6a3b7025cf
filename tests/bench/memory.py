"""What sessions take in memory, and that a flood of more than there may be changes nothing about it."""

import dataclasses
import pathlib
import re

import report
import scenarios
import wrk
from processes import BenchError

FILL_SECONDS = 10
FLOOD_SECONDS = 5
COLUMNS = ("visitors", "sessions", "payload", "resident before", "full", "bytes beyond payload", "refused", "then")


@dataclasses.dataclass(frozen=True)
class Filled:
    sessions: int
    payload: int
    empty: int
    full: int
    refused: int
    flooded: int


def resident(server):
    """Bytes of the process that are in memory (VmRSS)."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) * 1024


def create(bench, target, operation, seconds):
    output = scenarios.run(wrk.command(bench, target, operation, seconds), bench, 60 + 10 * seconds)
    bench.empty_logs()
    return wrk.summary(output)["statuses"]


def fill(bench, target, operation, places):
    """Opens sessions until there are as many as there may be, and goes on for a while."""
    server = bench.servers[target.server.name]
    # What the first connections and requests take is not the sessions'.
    opened = create(bench, target, operation, 1).get(201, 0)
    empty = resident(server) - opened * bench.payload.stat().st_size
    is_full = False
    while not is_full:
        statuses = create(bench, target, operation, FILL_SECONDS)
        is_full = 429 in statuses
        opened += statuses.get(201, 0)
        # Of each burst, those are not counted that were under way at its end.
        expected = range(places - 10 * wrk.CLIENTS, places + 1) if is_full else range(places + 1)
        if set(statuses) - {201, 429} or opened not in expected:
            raise BenchError(f"{target.title}: {opened} sessions for {places} places, and then {statuses}")
    full = resident(server)
    statuses = create(bench, target, operation, FLOOD_SECONDS)
    if set(statuses) != {429}:
        raise BenchError(f"{target.title}: {opened} sessions for {places} places, and then {statuses}")
    return Filled(places, bench.payload.stat().st_size, empty, full, statuses[429], resident(server))


def row(name, filled):
    beyond = (filled.full - filled.empty) / filled.sessions - filled.payload
    sizes = (f"{size / 2**20:.0f} MiB" for size in (filled.empty, filled.full))
    growth = (filled.flooded - filled.full) / 2**20
    counts = (str(filled.sessions), f"{filled.payload} B", *sizes, f"{beyond:.0f}", str(filled.refused))
    return [name, *counts, f"{growth:+.1f} MiB"]


def table(rows):
    return report.markdown([list(COLUMNS), *(row(name, filled) for name, filled in rows)])
