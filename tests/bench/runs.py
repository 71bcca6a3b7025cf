"""What the programs of the benchmark share: their options, and a directory and a lock for each run."""

import argparse
import fcntl
import os
import shutil
import signal
import sys
import time

import peers
import report
from processes import BenchError

RESULTS = peers.HERE / "results"
TARGET = peers.REPOSITORY / "target/bench"


def say(text):
    print(text, flush=True)


def options_of(description):
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--rounds", type=int, help="rounds over everything (default 7)")
    parser.add_argument("--seconds", type=float, help="length of one burst (default 1.5)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s: shows that it works")
    parser.add_argument("--keep", action="store_true", help="write the result to tests/bench/results, for git")
    return parser


def parse(parser):
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.3 if options.quick else 1.5)
    return options


def subset(rows):
    """The type of an option that takes the names of some rows."""
    names = [row.name for row in rows]

    def parse_names(text):
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(names)}")
        return [row for row in rows if row.name in chosen]

    return {"type": parse_names, "default": list(rows), "help": ", ".join(names)}


def load_average():
    return f"{os.getloadavg()[0]:.2f}"


def facts_of(bench, options):
    facts = {"date": report.today(), **report.machine(), "commit": report.commit()}
    facts["versions"] = {peer.title: peers.version_of(peer) for peer in options.peers}
    facts |= {"rounds": options.rounds, "seconds": options.seconds}
    return facts | {"proxy_cores": sorted(bench.proxy_cores), "other_cores": sorted(bench.other_cores)}


def result_file(facts, options, subject=""):
    name = f"{facts['date']}-{report.slug(facts)}{subject}"
    return (RESULTS if options.keep else TARGET) / f"{name}.md"


def interleave(rounds, pairs, burst, faults, after_round):
    """samples[row's name][column's name] = bursts, one a round. A pair that fails once is left out from then on.

    Each pair has one more burst before the first round, which warms everything up.
    """
    samples = {row.name: {} for row, _ in pairs}
    remaining = list(pairs)

    def attempt(row, column):
        try:
            return burst(row, column)
        except BenchError as error:
            faults.append(f"{column.title}, {row.name}: {error}")
            say(f"FAILED {faults[-1]}")
            samples[row.name].pop(column.name, None)
            remaining.remove((row, column))
            return None

    say("warming up, and finding how many requests fill a burst")
    for row, column in pairs:
        attempt(row, column)
    for number in range(rounds):
        begun = time.monotonic()
        for row, column in list(remaining):
            if measured := attempt(row, column):
                samples[row.name].setdefault(column.name, []).append(measured)
        after_round()
        say(f"round {number + 1} of {rounds}: {time.monotonic() - begun:.0f} s")
    return samples


def conduct(options, body):
    """Calls `body` with a bench and a list for faults, ends the servers whatever happens, and the program."""
    faults = []
    # So that a plain kill ends the servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    TARGET.mkdir(parents=True, exist_ok=True)
    lock = open(TARGET / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("bench: another run is under way")
    directory = TARGET / "run"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    bench = peers.Bench(directory)
    begun = time.monotonic()
    try:
        if not os.access(peers.GATEWAY, os.X_OK):
            raise BenchError(f"no gateway at {peers.GATEWAY}: cargo build --release, or set GATEWAY_BIN")
        body(bench, options, faults)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        bench.stop()
    say(f"took {time.monotonic() - begun:.0f} s")
    sys.exit(1 if faults else 0)
