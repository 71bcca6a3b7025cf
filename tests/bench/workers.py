#!/usr/bin/env python3
"""Measures synapse-gateway beside nginx before a Synapse with ten workers, in one interleaved run.

nginx has a location for each pattern in Synapse's manual; the gateway has its table.
"""

import dataclasses
import json

import manual
import peers
import processes
import report
import runs
import scenarios
import verify
from peers import NGINX, Peer
from run import Bursts
from runs import say

#: Each upstream of nginx: how it balances, and its processes with the gateway's words for what they do.
DEPLOYMENT = {
    "main": ("", {"main": ""}),
    "sync": (
        "hash $by_user consistent;",
        {"sync1": "roles: [sync, sliding_sync]", "sync2": "roles: [sync, sliding_sync]"},
    ),
    "initial": ("hash $by_user consistent;", {"initial1": "roles: [initial_sync]"}),
    "inbound": ("hash $remote_addr consistent;", {"inbound1": "roles: [federation_inbound]"}),
    "federation": ("", {"federation1": "roles: [federation_reader]"}),
    "events": (
        "hash $by_room consistent;",
        {"events1": "roles: [event_creator]", "events2": "roles: [event_creator]"},
    ),
    "room": ("hash $by_room consistent;", {"rooms1": "roles: [pagination]"}),
    "client": ("", {"client1": "roles: [client_reader, room_reader, encryption, login, user_directory]"}),
    "writer": (
        "",
        {"writer1": "streams: [typing, to_device, account_data, receipts, presence, push_rules, device_lists]"},
    ),
    "media": ("", {"media1": "roles: [media]"}),
}
FIRST_PORT = 21010
PORTS = {
    name: FIRST_PORT + place
    for place, name in enumerate(name for _, processes_ in DEPLOYMENT.values() for name in processes_)
}
PADDING = "x" * (1024 - len('{"port":21010,"padding":""}'))

USER = "authorization: Bearer syt_YWxpY2U_abcdefghijklmnopqrst_0aBcDe"
SERVER = 'authorization: X-Matrix origin="other.example",destination="example.test",key="ed25519:a",sig="c2ln"'


def upstreams(keepalive):
    blocks = []
    for name, (balance, members) in DEPLOYMENT.items():
        servers = " ".join(f"server 127.0.0.1:{PORTS[member]};" for member in members)
        blocks.append(f"    upstream {name} {{ {balance} {servers} {'keepalive 64;' if keepalive else ''} }}")
    return "\n".join(blocks)


def gateway_processes():
    lines = []
    for _, members in DEPLOYMENT.values():
        for name, does in members.items():
            lines.append(f'  {name}: {{address: "127.0.0.1:{PORTS[name]}"{", " if does else ""}{does}}}')
    return "\n".join(lines)


def nginx(name, title, port, keepalive):
    values = (
        ("UPSTREAMS", upstreams(keepalive)),
        ("CONNECTION", '        proxy_set_header Connection "";' if keepalive else ""),
        ("LOCATIONS", manual.locations()),
    )
    return Peer(name, title, port, "nginx-workers.conf", "nginx", NGINX, ("-v",), values=values)


PEERS = (
    Peer(
        "gateway",
        "synapse-gateway",
        21443,
        "gateway-workers.yaml",
        "synapse-gateway",
        ("run", "-c", "{config}"),
        ("--version",),
        values=(("PROCESSES", gateway_processes()),),
    ),
    nginx("nginx-doc", "nginx, patterns as in the manual", 21444, False),
    nginx("nginx-keepalive", "nginx, with keep-alive", 21445, True),
)
UPSTREAM = dataclasses.replace(
    peers.UPSTREAM,
    port=FIRST_PORT,
    template="upstream-workers.conf",
    values=(
        ("LISTENERS", "\n".join(f"        listen 127.0.0.1:{port};" for port in PORTS.values())),
        ("PADDING", PADDING),
    ),
)


@dataclasses.dataclass(frozen=True)
class Request(scenarios.Scenario):
    method: str = "GET"
    # The processes of which one must answer.
    of: tuple = ()


def request(name, title, protocol, method, path, of, who):
    clients, streams = (16, 1) if protocol == "h1" else (4, 8)
    headers = (who,) if method == "GET" else (who, "content-type: application/json", f":method: {method}")
    return Request(
        name, title, path, protocol, clients, streams, 4000, 1024, headers=headers, method=method, of=of
    )


SYNC = "/_matrix/client/v3/sync?since=s72594_4483_1934&timeout=30000"
SEND = "/_matrix/client/v3/rooms/%21room%3Aexample.test/send/m.room.message/m1"
KEYS = "/_matrix/client/v3/keys/query"
TRANSACTION = "/_matrix/federation/v1/send/1700000000000"
SYNCS, EVENTS = ("sync1", "sync2"), ("events1", "events2")
REQUESTS = tuple(
    request(f"{protocol}-{name}", f"{title}, {'HTTP/1.1' if protocol == 'h1' else 'HTTP/2'}", protocol, *rest)
    for protocol in ("h1", "h2")
    for name, title, *rest in (
        ("sync", "GET /sync", "GET", SYNC, SYNCS, USER),
        ("send", "PUT /rooms/{id}/send", "PUT", SEND, EVENTS, USER),
        ("keys", "POST /keys/query", "POST", KEYS, ("client1",), USER),
        ("federation", "PUT /_matrix/federation/v1/send", "PUT", TRANSACTION, ("inbound1",), SERVER),
    )
)


def arguments():
    parser = runs.options_of(__doc__)
    parser.add_argument("--only", metavar="REQUEST,...", **runs.subset(REQUESTS))
    parser.add_argument("--peers", metavar="PEER,...", **runs.subset(PEERS))
    return runs.parse(parser)


def check(bench, peer, wanted):
    """Each request reaches a process of its kind; a first sync and a request for the main process, too."""
    first = dataclasses.replace(wanted[0], path="/_matrix/client/v3/sync", method="GET", of=("initial1",))
    report_event = "/_matrix/client/v3/rooms/%21room%3Aexample.test/report/%24event"
    other = dataclasses.replace(wanted[0], path=report_event, method="POST", of=("main",))
    for one in (*wanted, first, other):
        fields = dict(header.split(": ", 1) for header in one.headers if not header.startswith(":"))
        body = None if one.method == "GET" else b"{}"
        status, answer = verify.request(bench, peer, one.method, one.path, body, fields)
        verify.expect(peer, f"status of {one.path}", status, 200)
        ports = [PORTS[name] for name in one.of]
        if json.loads(answer)["port"] not in ports:
            raise processes.BenchError(f"{peer.title}: {one.path} goes to {answer[:40]} and not to one of {ports}")


def bench_once(bench, options, faults):
    processes.require({"nginx", "h2load", "openssl"})
    facts = runs.facts_of(bench, options)
    load_before = runs.load_average()
    bench.prepare()
    bench.payload.write_text("{" + '"body": "' + "x" * 240 + '"}')
    options.only = [
        one if one.method == "GET" else dataclasses.replace(one, body=bench.payload) for one in options.only
    ]
    bench.start(UPSTREAM, bench.other_cores)
    for peer in options.peers:
        bench.start_peer(peer)
        check(bench, peer, options.only)
        say(f"{peer.title}: sends every request to the right process")
    pairs = [(one, peer) for one in options.only for peer in options.peers]
    samples = runs.interleave(options.rounds, pairs, Bursts(bench, options), faults, bench.empty_logs)
    facts |= {"load": f"{load_before}, {runs.load_average()}", "faults": faults}
    body = report.summary(samples, options.only, options.peers)
    body += "\n\n" + report.tables(samples, options.only, options.peers)
    say(f"\n{body}\n")
    path = runs.result_file(facts, options, "-workers")
    say(f"result: {report.write(path, report.header(facts), facts, body, samples)}")


if __name__ == "__main__":
    runs.conduct(arguments(), bench_once)
