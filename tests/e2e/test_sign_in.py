"""Sign-in by QR code with matrix-js-sdk: each device is a real Chromium on a page of another origin."""

import contextlib
import re
from pathlib import Path

import pytest

from bundle import bundle
from client import http_client
from harness.certificates import Authority
from harness.gateway import Gateway
from harness.oauth import AuthenticationService
from harness.ports import free_port
from harness.synapse import Synapse
from page import Device, ForeignPage
from world import World

SHORT = "3s"
MSC3886 = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous/"
PREFIX = "/_synapse/client/org.matrix.msc3886/rendezvous/"


class SignInWorld:
    """Gateways that advertise the protocols, before the Synapse of `world` and one that delegates sign-in.

    Only such a Synapse lets clients use MSC4108; it has no passwords, which those of MSC3886 start from.
    """

    def __init__(self, world: World, folder: Path, authority: Authority):
        self.world, self.folder = world, folder
        self.certificate = authority.issue("gateway-sign-in")
        self.service = AuthenticationService()
        self.delegated = Synapse(
            folder / "synapse-delegated",
            f"localhost:{free_port()}",
            "https://localhost/",
            self.service.synapse_config(),
        )
        self.service.synapse = self.delegated
        self.gateways: dict[str, Gateway] = {}
        self._accounts = 0

    def start(self) -> "SignInWorld":
        self.delegated.start()
        self._start("in place", self.world.synapse)
        self._start("redirect", self.world.synapse, redirect_unstable=True)
        self._start("short", self.world.synapse, ttl=SHORT, msc4108={"ttl": SHORT})
        self._start("HTTP/2", self.delegated)
        self._start("HTTP/1.1", self.delegated)
        return self

    def _start(self, name: str, synapse: Synapse, **options) -> None:
        number = len(self.gateways)
        gateway = Gateway(self.folder / f"gateway-sign-in-{number}", self.world.authority, self.certificate)
        config = gateway.config(
            synapse.server_name,
            synapse.upstreams(),
            rendezvous={"enabled": True, "advertise": True} | options,
        )
        if name == "HTTP/1.1":
            config["public_baseurl"] = gateway.http1_url
        self.gateways[name] = gateway
        gateway.start(config)

    def new_delegated_account(self) -> tuple[str, dict]:
        """A user's name, and how a client of that user is made."""
        self._accounts += 1
        localpart = f"delegated{self._accounts}"
        token = self.service.sign_in(localpart, "EXISTING")
        user_id = f"@{localpart}:{self.delegated.server_name}"
        return localpart, {"userId": user_id, "deviceId": "EXISTING", "accessToken": token}

    def new_account(self) -> dict:
        account = self.world.new_account()
        return {"userId": account.user_id, "deviceId": account.device_id, "accessToken": account.token}

    def stop(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self.service.stop)
            stack.callback(self.delegated.stop)
            for gateway in self.gateways.values():
                stack.callback(gateway.stop)


@pytest.fixture(scope="module")
def sign_in(world: World, folder: Path, authority: Authority):
    sign_in = SignInWorld(world, folder, authority)
    try:
        yield sign_in.start()
    finally:
        sign_in.stop()


@pytest.fixture(scope="module")
def page(sign_in: SignInWorld):
    bundle("rendezvous34.mjs", "rendezvous43.mjs")
    page = ForeignPage([sign_in.certificate.spki_sha256])
    try:
        yield page
    finally:
        page.close()


@pytest.fixture
def device(page: ForeignPage):
    """Makes devices that end with the test."""
    devices: list[Device] = []

    def device(script: str, homeserver: str, account: dict | None = None) -> Device:
        devices.append(page.device(script))
        devices[-1].call("open", homeserver=homeserver, account=account)
        return devices[-1]

    yield device
    for made in devices:
        made.close()


def listener(gateway: Gateway, protocol: str) -> str:
    return gateway.url if protocol == "HTTP/2" else gateway.http1_url


def assert_gone(sign_in: SignInWorld, url: str) -> None:
    with http_client(sign_in.world.authority.file) as http:
        answer = http.get(url)
    assert (answer.status_code, answer.json()["errcode"]) == (404, "M_NOT_FOUND")


def both(first: Device, second: Device, function: str, **options) -> tuple:
    """What each of two devices got when both did the same at a time."""
    first.start(function, **options)
    second.start(function, **options)
    return first.result(), second.result()


class Pair43:
    """A device of a new user, and one that is to be signed in, with a secure channel between them."""

    def __init__(self, sign_in: SignInWorld, device, protocol: str, shows: str):
        base = listener(sign_in.gateways[protocol], protocol)
        self.localpart, account = sign_in.new_delegated_account()
        self.user_id = account["userId"]
        self.existing = device("rendezvous43.js", base, account)
        self.new = device("rendezvous43.js", base)
        showing, scanning = (self.new, self.existing) if shows == "new" else (self.existing, self.new)
        shown = showing.call("showCode")
        self.url = shown["url"]
        assert self.url.startswith(f"{base}/")
        scanned = scanning.call("scanCode", code=shown["code"])

        at_new, at_existing = both(self.new, self.existing, "negotiate")
        assert at_new["checkCode"] == at_existing["checkCode"]
        assert len(at_new["checkCode"]) == 2
        told = at_new if shows == "new" else scanned
        assert told["serverName"] == sign_in.delegated.server_name


@pytest.mark.parametrize("shows", ["new", "existing"])
def test_js_sdk_43_signs_a_new_device_in(sign_in: SignInWorld, device, protocol: str, shows: str):
    """The whole of it: secure channel, grant, access token, and the user's secrets."""
    pair = Pair43(sign_in, device, protocol, shows)
    new, existing = pair.new, pair.existing
    at_new, at_existing = both(new, existing, "askForGrant", deviceId="NEW")
    assert at_new["verificationUri"] == at_existing["verificationUri"]
    sign_in.service.approve(at_existing["verificationUri"], pair.localpart)
    at_new, at_existing = both(new, existing, "finish")
    assert at_new["whoami"]["user_id"] == pair.user_id
    assert at_new["whoami"]["device_id"] == "NEW"
    assert at_new["secrets"]["cross_signing"]["master_key"]
    assert at_new["secrets"] == at_existing["secrets"]
    assert_gone(sign_in, pair.url)


@pytest.mark.parametrize("cancels", ["new", "existing"])
def test_js_sdk_43_notices_that_the_other_device_cancelled(sign_in: SignInWorld, device, cancels: str):
    """It reads a 404 of another origin: an answer that it could not read would be an exception."""
    pair = Pair43(sign_in, device, "HTTP/2", "new")
    cancelling, waiting = (pair.new, pair.existing) if cancels == "new" else (pair.existing, pair.new)
    cancelling.call("cancel", reason="user_cancelled")
    assert_gone(sign_in, pair.url)
    assert waiting.call("waitForMessage") == {"message": None, "failures": ["unknown"], "cancelled": True}


def test_js_sdk_43_is_told_that_nobody_came_in_time(sign_in: SignInWorld, device):
    """The device that shows the code has the time of the end from us; the one that scans reads a 404."""
    gateway = sign_in.gateways["short"]
    showing, scanning = (device("rendezvous43.js", gateway.url) for _ in range(2))
    shown = showing.call("showCode")
    in_vain = {"error": "No response from other device", "cancelled": True}
    assert showing.call("connectInVain") == in_vain | {"failures": ["expired"]}
    scanning.call("scanCode", code=shown["code"])
    assert scanning.call("connectInVain") == in_vain | {"failures": ["unknown"]}


@pytest.mark.parametrize("creation", ["in place", "redirect"])
def test_js_sdk_34_signs_a_new_device_in(sign_in: SignInWorld, device, protocol: str, creation: str):
    """The whole of it: secure channel, login token, access token."""
    base = listener(sign_in.gateways[creation], protocol)
    account = sign_in.new_account()
    existing = device("rendezvous34.js", base, account)
    new = device("rendezvous34.js", base)
    shown = existing.call("showCodeToSignIn")
    assert shown["url"].startswith(base + (PREFIX if creation == "redirect" else MSC3886))
    new.call("scanCode", code=shown["code"])

    existing.start("offer")
    assert re.fullmatch(r"\d{4}-\d{4}-\d{4}", check_code := new.call("choose"))
    assert existing.result() == check_code
    existing.start("approve")
    login = new.call("signIn")
    assert login["user_id"] == account["userId"]
    assert existing.result() == login["device_id"] != account["deviceId"]


def test_js_sdk_34_talks_when_the_new_device_shows_the_code(sign_in: SignInWorld, device, protocol: str):
    base = listener(sign_in.gateways["in place"], protocol)
    new = device("rendezvous34.js", base)
    existing = device("rendezvous34.js", base, sign_in.new_account())
    existing.call("scanCode", code=new.call("showCode")["code"])
    check_codes = both(new, existing, "connect")
    assert check_codes[0] == check_codes[1]
    for sender, reader in ((new, existing), (existing, new)):
        reader.start("receive")
        sender.call("send", payload={"type": "m.login.progress"})
        assert reader.result() == {"type": "m.login.progress"}


def test_js_sdk_34_notices_that_the_other_device_declined(sign_in: SignInWorld, device):
    base = sign_in.gateways["in place"].url
    existing, new = device("rendezvous34.js", base, sign_in.new_account()), device("rendezvous34.js", base)
    shown = existing.call("showCode")
    new.call("scanCode", code=shown["code"])
    both(new, existing, "connect")
    existing.call("cancel", reason="user_declined")
    assert_gone(sign_in, shown["url"])
    assert new.call("waitForMessage") == {"message": None, "failures": ["unknown"], "ready": False}


def test_js_sdk_34_is_told_that_nobody_came_in_time(sign_in: SignInWorld, device):
    showing, scanning = (device("rendezvous34.js", sign_in.gateways["short"].url) for _ in range(2))
    shown = showing.call("showCode")
    in_vain = {"message": None, "ready": False}
    assert showing.call("waitForMessage") == in_vain | {"failures": ["expired"]}
    scanning.call("scanCode", code=shown["code"])
    assert scanning.call("waitForMessage") == in_vain | {"failures": ["unknown"]}
