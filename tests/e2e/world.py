"""One homeserver behind one gateway: what most tests run against."""

from pathlib import Path

import httpx

from client import Account, http_client, log_in
from harness.certificates import Authority
from harness.gateway import Gateway
from harness.ports import free_port
from harness.synapse import Synapse

PASSWORD = "a long enough password"
#: The addresses from which the gateway believes forwarding headers.
TRUSTED_PROXY, SECOND_TRUSTED_PROXY = "127.0.0.9", "127.0.0.10"
#: How many rendezvous sessions the gateways without a working Synapse hold.
BROKEN_SESSIONS = 3


class World:
    def __init__(self, folder: Path, authority: Authority, name: str, homeserver: type[Synapse] = Synapse):
        self.authority = authority
        federation_port = free_port()
        self.server_name = f"localhost:{federation_port}"
        certificate = authority.issue(f"gateway-{name}")
        self.gateway = Gateway(folder / f"gateway-{name}", authority, certificate, federation_port)
        self.synapse = homeserver(
            folder / f"synapse-{name}",
            self.server_name,
            f"{self.gateway.url}/",
            {
                "federation_custom_ca_list": [str(authority.file)],
                # Lets a device sign another one in, as classic Element did by QR code.
                "login_via_existing_session": {"enabled": True, "require_ui_auth": False},
            },
        )
        self._clients: list[httpx.Client] = []
        self._accounts = 0

    def start(self, **sections: object) -> "World":
        """Starts both; a section given by name replaces the gateway's own."""
        self.synapse.start()
        config = self.gateway.config(self.server_name, self.synapse.upstreams())
        config["forwarding"]["trusted_proxies"] = [
            f"{TRUSTED_PROXY}/32",
            f"{SECOND_TRUSTED_PROXY}/32",
        ]
        config["well_known"] = {
            "server": self.server_name,
            "client": {"org.example.extra": {"kept": True}},
            "support": {"contacts": [{"role": "m.role.admin", "email_address": "admin@example.com"}]},
        }
        self.gateway.start(config | sections)
        return self

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        try:
            self.gateway.stop()
        finally:
            self.synapse.stop()

    def http(self, **options) -> httpx.Client:
        client = http_client(self.authority.file, **options)
        self._clients.append(client)
        return client

    def new_account(self, localpart: str | None = None, base: str | None = None, **options) -> Account:
        """A fresh user, registered at Synapse's own port and logged in through the gateway."""
        self._accounts += 1
        localpart = localpart or f"user{self._accounts}"
        self.synapse.register(localpart, PASSWORD)
        return log_in(self.http(**options), base or self.gateway.url, localpart, PASSWORD)

    def admin(self) -> Account:
        """A server admin who talks to Synapse's own port, past the gateway."""
        self._accounts += 1
        login = self.synapse.register(f"admin{self._accounts}", PASSWORD, admin=True)
        return Account(self.http(), self.synapse.url, login)
