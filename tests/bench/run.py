#!/usr/bin/env python3
"""Measures synapse-gateway beside nginx, HAProxy and Caddy in one interleaved run.

What counts is the proxy's own CPU time per request: unlike requests per second it does not depend on how fast the
load generator is, and hardly on what else the machine does.
"""

import argparse
import fcntl
import os
import pathlib
import shutil
import signal
import sys
import time

import peers
import processes
import report
import scenarios
import verify
from processes import BenchError

RESULTS = peers.HERE / "results"
TARGET = peers.REPOSITORY / "target/bench"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = [scenario.name for scenario in scenarios.SCENARIOS]
    parser.add_argument("--rounds", type=int, help="rounds over all scenarios and peers (default 7)")
    parser.add_argument("--seconds", type=float, help="length of one burst (default 1.5)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s: shows that it works")
    parser.add_argument("--only", type=subset(names), metavar="SCENARIO,...", help=", ".join(names))
    peer_names = [peer.name for peer in peers.PEERS]
    parser.add_argument("--peers", type=subset(peer_names), metavar="PEER,...", help=", ".join(peer_names))
    parser.add_argument("--keep", action="store_true", help="write the result to tests/bench/results, for git")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.3 if options.quick else 1.5)
    options.only = [s for s in scenarios.SCENARIOS if not options.only or s.name in options.only]
    options.peers = [p for p in peers.PEERS if not options.peers or p.name in options.peers]
    return options


def subset(names):
    def parse(text):
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(names)}")
        return chosen

    return parse


def say(text):
    print(text, flush=True)


def requests_for(trial, scenario, seconds):
    """As many requests as fill the burst, and at least one a stream."""
    streams = scenario.clients * scenario.streams
    return max(round(trial.rate * seconds / streams), 1) * streams


def measure(bench, options, faults):
    """samples[scenario][peer] = bursts, one a round. A pair that fails once is left out from then on."""
    timeout = 30 + 10 * options.seconds
    samples = {scenario.name: {} for scenario in options.only}
    counts = {}

    def attempt(scenario, peer, requests):
        try:
            return scenarios.burst(scenario, peer, requests, bench, timeout)
        except BenchError as error:
            faults.append(f"{peer.title}, {scenario.name}: {error}")
            say(f"FAILED {faults[-1]}")
            samples[scenario.name].pop(peer.name, None)
            counts.pop((scenario, peer), None)
            return None

    say("warming up, and finding how many requests fill a burst")
    for scenario in options.only:
        for peer in options.peers:
            if trial := attempt(scenario, peer, scenario.trial):
                counts[scenario, peer] = requests_for(trial, scenario, options.seconds)
    for number in range(options.rounds):
        begun = time.monotonic()
        for scenario in options.only:
            for peer in options.peers:
                if requests := counts.get((scenario, peer)):
                    if burst := attempt(scenario, peer, requests):
                        samples[scenario.name].setdefault(peer.name, []).append(burst)
        bench.empty_logs()
        say(f"round {number + 1} of {options.rounds}: {time.monotonic() - begun:.0f} s")
    return samples


def load_average():
    return f"{os.getloadavg()[0]:.2f}"


def bench_once(bench, options, faults):
    facts = {"date": report.today(), **report.machine(), "commit": report.commit()}
    facts["versions"] = {peer.title: peers.version_of(peer) for peer in options.peers}
    facts |= {"rounds": options.rounds, "seconds": options.seconds}
    facts |= {"proxy_cores": sorted(bench.proxy_cores), "other_cores": sorted(bench.other_cores)}
    load_before = load_average()
    bench.prepare()
    bench.start_upstream()
    for peer in options.peers:
        bench.start_peer(peer)
        verify.check(bench, peer, options.only)
        say(f"{peer.title}: proxies every scenario correctly")
    samples = measure(bench, options, faults)
    facts |= {"load": f"{load_before}, {load_average()}", "faults": faults}
    body = report.summary(samples, options.only, options.peers)
    body += "\n\n" + report.tables(samples, options.only, options.peers)
    say(f"\n{body}\n")
    name = f"{facts['date']}-{report.slug(facts)}"
    say(f"result: {report.write(RESULTS if options.keep else TARGET, name, facts, body, samples)}")


def main():
    options = arguments()
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
        processes.require({"nginx", "h2load", "openssl"} | {p.program for p in options.peers if p.name != "gateway"})
        if any(peer.name == "gateway" for peer in options.peers) and not os.access(peers.GATEWAY, os.X_OK):
            raise BenchError(f"no gateway at {peers.GATEWAY}: cargo build --release, or set GATEWAY_BIN")
        bench_once(bench, options, faults)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        bench.stop()
    say(f"took {time.monotonic() - begun:.0f} s")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
