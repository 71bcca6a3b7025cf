"""What must not be reachable through the gateway, in whatever spelling."""

import http.client
import json
import ssl

import pytest

from world import World

DENIED = [
    "/_synapse/admin/v1/server_version",
    "/_synapse/admin/v1/register",
    "/_synapse/admin",
    "/_synapse/mas/provision_user",
    "/_synapse/mas",
    "/_synapse/replication/",
    "/_synapse/metrics",
    "/_synapse",
    "/_synapse/%61dmin/v1/server_version",
    "/%5Fsynapse/admin/v1/server_version",
    "/_synapse%2Fadmin%2Fv1%2Fserver_version",
    "/_synapse/%6das/provision_user",
    "/_synapse/%6Das/provision_user",
    "//_synapse/admin/v1/server_version",
    "/_synapse//admin/v1/server_version",
    "/_SYNAPSE/admin/v1/server_version",
    "/_matrix/../_synapse/admin/v1/server_version",
    "/_matrix/%2e%2e/_synapse/admin/v1/server_version",
    "/_matrix/..%2F_synapse/admin/v1/server_version",
    "/_synapse/client/../admin/v1/server_version",
    "/_synapse/client/%2E%2E/admin/v1/server_version",
    "/_synapse/admin/v1/server_version?x=/_matrix/client",
    "/metrics",
    "/",
]


def ask(world: World, port: int, target: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Sends the target as it is, with the standard library, which changes nothing in it."""
    trust = ssl.create_default_context(cafile=str(world.authority.file))
    if port == world.gateway.plain_port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    else:
        connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=trust)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_probes_answer_at_synapses_own_port(world: World):
    """Without this the tests below could pass for a wrong reason."""
    assert b"server_version" in world.synapse.get("/_synapse/admin/v1/server_version")
    assert b"nonce" in world.synapse.get("/_synapse/admin/v1/register")


@pytest.mark.parametrize("listener", ["tls_port", "http1_port", "plain_port", "federation_port"])
@pytest.mark.parametrize("target", DENIED)
def test_denied_path_is_unknown(world: World, listener: str, target: str):
    answer, body = ask(world, getattr(world.gateway, listener), target)
    assert answer.status == 404, body
    assert json.loads(body)["errcode"] == "M_UNRECOGNIZED"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_federation_listener_serves_federation_only(world: World):
    port = world.gateway.federation_port
    answer, body = ask(world, port, "/_matrix/key/v2/server")
    assert answer.status == 200 and json.loads(body)["server_name"] == world.server_name
    answer, _ = ask(world, port, "/_matrix/federation/v1/version")
    assert answer.status == 200
    answer, body = ask(world, port, "/_matrix/client/v3/login")
    assert answer.status == 404 and json.loads(body)["errcode"] == "M_UNRECOGNIZED"
    answer, _ = ask(world, world.gateway.tls_port, "/_matrix/client/v3/login")
    assert answer.status == 200
