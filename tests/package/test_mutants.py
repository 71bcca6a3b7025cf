"""Packages with a fault, which the checks of `test_life.py` must notice: a check that cannot fail proves nothing."""

from pathlib import Path

import pytest

import test_life
from conftest import configure, install, start
from harness.certificates import Authority
from repack import in_script, repack
from traffic import Traffic

HAND_OVER = "invoke-rc.d synapse-gateway reload"


def test_a_restart_on_upgrade_is_noticed(boot, package: Path, folder: Path, authority: Authority, traffic: Traffic):
    guest = boot()
    install(guest, package)
    configure(guest, authority)
    start(guest)
    restarting = in_script("postinst", HAND_OVER, "systemctl restart synapse-gateway")
    mutant = repack(package, folder, "+restart", restarting)
    # It is told by how long clients had to wait: the kept sockets refuse nobody.
    with pytest.raises(AssertionError, match=r"^upgrade .* s\n"):
        test_life.test_an_upgrade_hands_over_to_the_new_binary_and_loses_nothing(guest, mutant, traffic)
    traffic.tallies[-1].step = "mutant: restart"


def test_files_left_after_a_purge_are_noticed(boot, package: Path, folder: Path):
    guest = boot()
    guest.before = guest.files()
    forgetful = in_script("postrm", "/var/lib/synapse-gateway", "")
    install(guest, repack(package, folder, "+forgetful", forgetful))
    guest.run("mkdir -p /var/lib/synapse-gateway")
    with pytest.raises(AssertionError, match="/var/lib/synapse-gateway"):
        test_life.test_purging_leaves_nothing(guest)


def test_an_installation_that_fails_without_a_configuration_is_noticed(boot, package: Path, folder: Path):
    guest = boot()
    strict = in_script("postinst", "set -e\n", "set -e\nsynapse-gateway check -c /etc/synapse-gateway/gateway.yaml\n")
    with pytest.raises(AssertionError, match="exits with 100"):
        install(guest, repack(package, folder, "+strict", strict))
