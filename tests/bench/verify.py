"""Proof, before anything is measured, that a proxy proxies: whole bodies, forwarding headers, fresh answers."""

import http.client
import json
import socket
import ssl
import uuid

import peers
import scenarios
from processes import BenchError

WHOAMI = "/_matrix/client/v3/account/whoami"


def request(bench, peer, method, path, body=None, fields=None):
    context = ssl.create_default_context(cafile=bench.certificate)
    tcp = socket.create_connection(("127.0.0.1", peer.port), timeout=10)
    connection = http.client.HTTPConnection("example.test", peer.port)
    connection.sock = context.wrap_socket(tcp, server_hostname="example.test")
    try:
        connection.request(method, path, body, {"X-Forwarded-For": "192.0.2.1", **(fields or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def expect(peer, what, seen, wanted):
    if seen != wanted:
        raise BenchError(f"{peer.title}: {what} is {str(seen)[:200]!r} and not {str(wanted)[:200]!r}")


def forwarding(bench, peer):
    # A nonce comes back only from the upstream; a forged address must not.
    nonce = uuid.uuid4().hex
    status, body = request(bench, peer, "GET", f"{WHOAMI}?nonce={nonce}")
    expect(peer, "status", status, 200)
    seen = json.loads(body)
    expect(peer, "nonce", seen["nonce"], nonce)
    expect(peer, "X-Forwarded-For", seen["forwarded_for"], "127.0.0.1")
    expect(peer, "X-Forwarded-Proto", seen["forwarded_proto"], "https")
    expect(peer, "Host", seen["host"].split(":")[0], "example.test")


def bodies(bench, peer):
    expect(peer, "small answer", request(bench, peer, "GET", scenarios.VERSIONS), (200, bench.small_body.encode()))
    expect(peer, "download", request(bench, peer, "GET", scenarios.DOWNLOAD), (200, bench.media.read_bytes()))
    status, answer = request(bench, peer, "POST", scenarios.UPLOAD, bench.media.read_bytes())
    expect(peer, "status of an upload", status, 200)
    if json.loads(answer)["received"] < peers.MEBIBYTE:
        raise BenchError(f"{peer.title}: the upstream received less than was sent: {answer}")
    # The upstream answers 200 to an upload only when it has read all of it: shown by one that is cut short.
    status, _ = request(bench, peer, "POST", scenarios.UPLOAD, bytes(peers.MEBIBYTE // 2))
    expect(peer, "status of half an upload", status, 400)


def check(bench, peer, wanted):
    forwarding(bench, peer)
    bodies(bench, peer)
    # HTTP/2, which Python lacks, is checked by the load generator, as each burst is later on.
    for scenario in wanted:
        scenarios.burst(scenario, peer, scenario.clients * scenario.streams, bench, 20)
