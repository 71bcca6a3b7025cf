"""What becomes of other people's log-ins while one address opens sessions as fast as it can."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time

import report
import scenarios
import wrk
from processes import BenchError

PER_SECOND = 20
# Log-ins begin when the flood has got going, and end before it does.
LEAD = 1
COLUMNS = ("server", "flood", "creations/s", "201", "429", "log-ins", "succeeded", "p50 ms", "p99 ms", "max ms")


@dataclasses.dataclass(frozen=True)
class Outcome:
    logins: int
    faults: dict
    p50_ms: float
    p99_ms: float
    max_ms: float
    seconds: float = 0
    statuses: dict = dataclasses.field(default_factory=dict)

    @property
    def succeeded(self):
        return self.logins - sum(self.faults.values())


def log_ins(bench, target, seconds):
    command = [sys.executable, scenarios.HERE / "logins.py", target.port, target.protocol, seconds, PER_SECOND]
    answer = json.loads(scenarios.run([str(word) for word in command], bench, seconds + 60))
    latencies = answer["latencies"]
    if not latencies:
        raise BenchError(f"no log-in had an answer: {answer['faults']}")
    figures = (statistics.median(latencies), scenarios.percentile(latencies, 0.99), max(latencies))
    return Outcome(answer["logins"], answer["faults"], *(figure * 1e3 for figure in figures))


def prepare(bench):
    # The devices go first where both want the core: what is measured is what they wait for the server.
    os.sched_setaffinity(0, bench.other_cores)
    os.nice(10)


def flooded(bench, target, seconds):
    command = wrk.command(bench, target, "create", seconds + 3 * LEAD)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    flood = subprocess.Popen(command, preexec_fn=lambda: prepare(bench), **pipes)
    try:
        time.sleep(LEAD)
        outcome = log_ins(bench, target, seconds)
        found = wrk.summary(flood.communicate(timeout=60)[0])
    finally:
        flood.kill()
        flood.wait()
    return dataclasses.replace(outcome, seconds=found["seconds"], statuses=found["statuses"])


def row(title, name, outcome):
    creations = sum(outcome.statuses.values())
    others = sorted(set(outcome.statuses) - {201, 429})
    if others:
        raise BenchError(f"{title}: the flood was answered {others}")
    counts = (
        [f"{creations / outcome.seconds:.0f}", *(str(outcome.statuses.get(status, 0)) for status in (201, 429))]
        if outcome.statuses
        else ["–"] * 3
    )
    times = (f"{figure:.1f}" for figure in (outcome.p50_ms, outcome.p99_ms, outcome.max_ms))
    return [title, name, *counts, str(outcome.logins), str(outcome.succeeded), *times]


def table(outcomes):
    rows = [list(COLUMNS)]
    faults = []
    for target, calm, storm in outcomes:
        rows += [row(target.title, "no", calm), row(target.title, "yes", storm)]
        for when, outcome in (("without", calm), ("with", storm)):
            faults += [f"{target.title}, {when} a flood: {name}, {count}×" for name, count in outcome.faults.items()]
    return "\n".join([report.markdown(rows), "", *(f"* What ended log-ins: {fault}." for fault in faults)]).strip()


def measure(bench, targets, seconds):
    return [(target, log_ins(bench, target, seconds), flooded(bench, target, seconds)) for target in targets]
