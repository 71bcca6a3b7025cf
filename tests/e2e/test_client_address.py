"""Which client address does Synapse record? Asked at Synapse's own port, past the gateway."""

from urllib.parse import quote

import pytest

from client import Account, log_in
from world import PASSWORD, SECOND_TRUSTED_PROXY, TRUSTED_PROXY, World

CLIENT = "127.0.0.77"
FORGED = [
    {"X-Forwarded-For": "192.0.2.66"},
    {"X-Forwarded-For": "192.0.2.66, 192.0.2.67", "X-Forwarded-Proto": "http"},
    {"Forwarded": 'for="192.0.2.66";proto=http'},
    {"X-Real-IP": "192.0.2.66"},
    {"X-Forwarded-For": "192.0.2.66", "Forwarded": "for=192.0.2.66", "X-Real-IP": "192.0.2.66"},
]
LISTENERS = ["url", "http1_url", "plain_url"]


def recorded_addresses(world: World, account: Account) -> set[str]:
    admin = world.admin()
    user = quote(account.user_id, safe="")
    whois = admin.ok("GET", f"/_synapse/admin/v1/whois/{user}")
    devices = admin.ok("GET", f"/_synapse/admin/v2/users/{user}/devices")["devices"]
    seen = {
        connection["ip"]
        for device in whois["devices"].values()
        for session in device["sessions"]
        for connection in session["connections"]
    }
    return seen | {device["last_seen_ip"] for device in devices if device["last_seen_ip"]}


def one_request(world: World, base: str, source: str, headers: dict[str, str]) -> Account:
    localpart = f"seen{world._accounts}"
    account = world.new_account(localpart, base, source=source)
    account.ok("GET", "/_matrix/client/v3/account/whoami", headers=headers)
    return account


@pytest.mark.parametrize("listener", LISTENERS)
def test_address_is_the_clients_own(world: World, listener: str):
    account = one_request(world, getattr(world.gateway, listener), CLIENT, {})
    assert recorded_addresses(world, account) == {CLIENT}


@pytest.mark.parametrize("headers", FORGED, ids="+".join)
@pytest.mark.parametrize("listener", LISTENERS)
def test_forged_headers_of_a_stranger_are_ignored(world: World, listener: str, headers: dict[str, str]):
    account = one_request(world, getattr(world.gateway, listener), CLIENT, headers)
    assert recorded_addresses(world, account) == {CLIENT}


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("192.0.2.66, 203.0.113.5", "203.0.113.5"),
        (f"192.0.2.66, 203.0.113.5, {SECOND_TRUSTED_PROXY}", "203.0.113.5"),
        (f"{TRUSTED_PROXY}, 192.0.2.66, 2001:db8::7", "2001:db8::7"),
    ],
)
@pytest.mark.parametrize("listener", LISTENERS)
def test_trusted_proxy_is_believed_from_the_right(
    world: World, listener: str, forwarded_for: str, client: str
):
    base = getattr(world.gateway, listener)
    account = one_request(world, base, TRUSTED_PROXY, {"X-Forwarded-For": forwarded_for})
    # The log-in itself carried no header, so it counts as the proxy's own.
    assert recorded_addresses(world, account) - {TRUSTED_PROXY} == {client}


def test_request_id_of_the_client_is_replaced_and_reaches_synapse(world: World):
    account = world.new_account()
    answer = account.send(
        "GET", "/_matrix/client/v3/account/whoami", headers={"X-Request-Id": "forged-by-client"}
    )
    request_id = answer.headers["x-request-id"]
    assert request_id != "forged-by-client"
    assert f"GET-{request_id}" in world.synapse.log
    assert "forged-by-client" not in world.synapse.log


def test_failed_log_in_is_logged_with_the_clients_address(world: World):
    world.synapse.register("locked-out", PASSWORD)
    http = world.http(source="127.0.0.78")
    with pytest.raises(AssertionError, match="M_FORBIDDEN"):
        log_in(http, world.gateway.url, "locked-out", "wrong")
    lines = [
        line for line in world.synapse.log.splitlines() if "/login" in line and "Processed request" in line
    ]
    assert any(" 127.0.0.78 " in line for line in lines), lines[-5:]
