"""One guest for the life of a package, and the clients outside of it."""

import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest import Guest
from harness.certificates import Authority
from harness.process import Process
from harness.waiting import wait_for
from traffic import HEAD, HOST, Tally, Traffic

UPSTREAM_PORT = 8008
_tallies: list[Tally] = []


@pytest.fixture(scope="session")
def folder() -> Path:
    """Changes to the guests' roots, consoles and packages of this run stay here for a look afterwards."""
    folder = Path(os.environ["PACKAGE_RUN_DIR"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def package() -> Path:
    return Path(os.environ["PACKAGE_DEB"])


@pytest.fixture(scope="session")
def authority(folder: Path) -> Authority:
    return Authority(folder / "ca")


@pytest.fixture(scope="session")
def traffic(folder: Path, authority: Authority) -> Iterator[Traffic]:
    """Clients, and a Synapse for the gateway to forward them to."""
    stub = [sys.executable, str(Path(__file__).with_name("stub_synapse.py")), str(UPSTREAM_PORT)]
    synapse = Process("stub", stub, folder / "stub.log")
    try:
        traffic = Traffic(authority.file)
        yield traffic
        _tallies.extend(traffic.tallies)
    finally:
        synapse.stop()


@pytest.fixture(scope="session")
def boot(folder: Path) -> Iterator[Callable[..., Guest]]:
    """Boots guests, one at a time: all have the same network. `root` names the variable with what they are made of."""
    number = itertools.count(1)
    guests: list[Guest] = []

    def boot(root: str = "PACKAGE_ROOT") -> Guest:
        if guests:
            guests.pop().power_off()
        guest = Guest(Path(os.environ[root]), folder / f"guest-{next(number)}")
        guests.append(guest)
        guest.boot()
        return guest

    yield boot
    for guest in guests:
        guest.power_off()


def install(guest: Guest, package: Path) -> str:
    """Installs or upgrades as an operator does, and returns what is told."""
    name = f"/root/{package.name}"
    guest.write(name, package.read_bytes())
    command = f"apt-get install --quiet=1 --yes {name}"
    output = guest.run(command).stdout
    guest.run(f"rm {name}")
    return output


def configure(guest: Guest, authority: Authority, serial: int = 1) -> None:
    """What an operator has: certificates as certbot leaves them, for root alone, and a configuration that names them."""
    renew(guest, authority, serial)
    write_config(guest, '  - {address: "127.0.0.1:443", tls: true}\n')


def write_config(guest: Guest, listeners: str) -> None:
    """Fills in the file that the package has put there."""
    live = f"/etc/letsencrypt/live/{HOST}"
    template = guest.read("cat /usr/share/synapse-gateway/gateway.yaml")
    settings = f"""
server_name: example.com
public_baseurl: https://{HOST}/
listeners:
{listeners}
tls:
  certificates:
    - cert: {live}/fullchain.pem
      key: {live}/privkey.pem
upstreams:
  main: {{address: "127.0.0.1:{UPSTREAM_PORT}"}}
rendezvous: {{enabled: true}}
"""
    guest.write("/etc/synapse-gateway/gateway.yaml", template + settings, 0o640)
    guest.run("chgrp synapse-gateway /etc/synapse-gateway/gateway.yaml")


def renew(guest: Guest, authority: Authority, serial: int) -> None:
    """Puts a certificate where certbot puts it; the links in `live` are the last thing to change."""
    issued = authority.issue(f"{HOST}-{serial}", [HOST])
    archive, live = f"/etc/letsencrypt/archive/{HOST}", f"/etc/letsencrypt/live/{HOST}"
    guest.run(f"mkdir -p {archive} {live} && chmod 700 /etc/letsencrypt/archive /etc/letsencrypt/live")
    for kind, file, mode in (("fullchain", issued.chain, 0o644), ("privkey", issued.key, 0o600)):
        guest.write(f"{archive}/{kind}{serial}.pem", file.read_bytes(), mode)
        guest.run(f"ln -sf ../../archive/{HOST}/{kind}{serial}.pem {live}/{kind}.pem")


def start(guest: Guest) -> None:
    guest.run("systemctl start synapse-gateway")
    wait_for("the service", lambda: guest.property("synapse-gateway", "ActiveState") == "active")


def pytest_terminal_summary(terminalreporter) -> None:
    if _tallies:
        terminalreporter.section("requests sent and lost")
        for line in [HEAD, *(tally.line() for tally in _tallies)]:
            terminalreporter.line(line)
