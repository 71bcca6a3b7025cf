#!/usr/bin/env python3
"""Measures synapse-gateway beside nginx, HAProxy and Caddy in one interleaved run.

What counts is the proxy's own CPU time per request: unlike requests per second it does not depend on how fast the
load generator is, and hardly on what else the machine does.
"""

import peers
import processes
import report
import runs
import scenarios
import verify
from runs import say


def arguments():
    parser = runs.options_of(__doc__)
    parser.add_argument("--only", metavar="SCENARIO,...", **runs.subset(scenarios.SCENARIOS))
    parser.add_argument("--peers", metavar="PEER,...", **runs.subset(peers.PEERS))
    return runs.parse(parser)


class Bursts:
    """Runs one burst; the first one of a pair finds out how many requests fill the next ones."""

    def __init__(self, bench, options):
        self.bench = bench
        self.options = options
        self.counts = {}

    def __call__(self, scenario, peer):
        requests = self.counts.get((scenario, peer), scenario.trial)
        burst = scenarios.burst(scenario, peer, requests, self.bench, 30 + 10 * self.options.seconds)
        self.counts.setdefault((scenario, peer), scenario.requests_for(burst, self.options.seconds))
        return burst


def bench_once(bench, options, faults):
    processes.require({"nginx", "h2load", "openssl"} | {p.program for p in options.peers if p.name != "gateway"})
    facts = runs.facts_of(bench, options)
    load_before = runs.load_average()
    bench.prepare()
    bench.start_upstream()
    for peer in options.peers:
        bench.start_peer(peer)
        verify.check(bench, peer, options.only)
        say(f"{peer.title}: proxies every scenario correctly")
    pairs = [(scenario, peer) for scenario in options.only for peer in options.peers]
    samples = runs.interleave(options.rounds, pairs, Bursts(bench, options), faults, bench.empty_logs)
    facts |= {"load": f"{load_before}, {runs.load_average()}", "faults": faults}
    body = report.summary(samples, options.only, options.peers)
    body += "\n\n" + report.tables(samples, options.only, options.peers)
    say(f"\n{body}\n")
    path = runs.result_file(facts, options)
    say(f"result: {report.write(path, report.header(facts), facts, body, samples)}")


if __name__ == "__main__":
    runs.conduct(arguments(), bench_once)
