"""The life of the package on one machine, from before its installation to after its removal. Each step needs those above."""

import re
import ssl
import subprocess
from pathlib import Path

import pytest

from conftest import configure, install, renew, start
from guest import Guest
from harness.certificates import Authority
from harness.waiting import wait_for
from repack import field, other_binary, repack
from traffic import ADDRESS, HOST, PORT, Tally, Traffic

UNIT = "synapse-gateway"
CONFIG = "/etc/synapse-gateway/gateway.yaml"
#: How long a request may wait while a process takes over from another one, in seconds. A process that first has to
#: finish the long poll takes longer.
SOON = 2.0


@pytest.fixture(scope="module")
def guest(boot) -> Guest:
    guest = boot()
    guest.before = guest.files()
    return guest


@pytest.fixture(autouse=True)
def _nothing_failed(guest: Guest):
    """No step leaves a unit failed, or an error of ours in the journal that it did not take out itself."""
    yield
    assert guest.read("systemctl --failed --no-legend --plain") == ""
    assert errors(guest) == ""
    guest.run("journalctl --rotate --quiet")


def errors(guest: Guest) -> str:
    """What the journal has of level error, since the last step."""
    journal = guest.run(f"journalctl --quiet --boot --no-pager -o cat -p err -u {UNIT} -u {UNIT}-synapse", check=False).stdout
    seen = getattr(guest, "seen", "")
    guest.seen = journal
    return journal.removeprefix(seen).strip()


def listening(guest: Guest) -> str:
    return guest.read("ss -Hltn 'sport = :443 or sport = :80 or sport = :8448'")


def main_pid(guest: Guest) -> int:
    return int(guest.property(UNIT, "MainPID"))


def as_the_service(guest: Guest, command: str) -> subprocess.CompletedProcess:
    """Runs a command with what the service may do, where it is."""
    enter = f"nsenter --target={main_pid(guest)} --mount setpriv --reuid={UNIT} --regid={UNIT} --clear-groups"
    return guest.run(f"{enter} {command}", check=False)


def nothing_lost(tally: Tally, within: float) -> None:
    assert tally.lost == 0, tally.errors[:10]
    assert tally.counts["new"].sent > 100, "too few requests to tell"
    assert tally.worst() < within, tally.line()


def test_after_the_installation_the_service_waits_and_takes_no_port(guest: Guest, package: Path):
    guest.run("systemd-run --quiet --unit=holder systemd-socket-activate --listen=127.0.0.1:443 /bin/cat")
    wait_for("the other program", lambda: listening(guest))
    output = install(guest, package)
    assert "systemd-socket" in guest.read("ss -Hltnp 'sport = :443'"), "the port is still the other program's"
    told = output.partition("Setting up synapse-gateway")[2].splitlines()[1:]
    ours = [line for line in told if line.strip() and not line.startswith(("Created symlink", "Creating ", "Processing "))]
    assert len(ours) <= 3, output
    assert CONFIG in output and "systemctl start synapse-gateway" in output
    assert "Port 443 is used by systemd-socket" in output
    assert guest.read(f"systemctl is-enabled {UNIT} {UNIT}-synapse.path") == "enabled\nenabled"
    assert guest.property(UNIT, "ActiveState") == "inactive"
    guest.run("systemctl stop holder")


def test_a_start_without_a_configuration_is_skipped_and_says_why(guest: Guest):
    guest.run(f"systemctl start {UNIT}")
    assert guest.property(UNIT, "ActiveState") == "inactive"
    assert guest.property(UNIT, "Result") == "exec-condition"
    assert CONFIG in guest.read(f"journalctl --quiet --no-pager -o cat -u {UNIT}")
    assert listening(guest) == ""


def test_a_start_with_a_wrong_configuration_fails_once_and_says_why(guest: Guest):
    before = guest.read(f"cat {CONFIG}")
    guest.run(f"echo 'threds: 2' >>{CONFIG}")
    assert guest.run(f"systemctl start {UNIT}", check=False).returncode != 0
    # One that is to be started again would be `auto-restart` until then.
    told = {name: guest.property(UNIT, name) for name in ("SubState", "ExecMainStatus", "NRestarts")}
    assert told == {"SubState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    assert "threds" in errors(guest)
    guest.run(f"cat >{CONFIG} <<'END'\n{before}\nEND\nsystemctl reset-failed {UNIT}")


def test_the_configuration_is_read_by_the_service_and_written_by_root_alone(guest: Guest):
    assert guest.read(f"stat -c '%A %U %G' {CONFIG}") == f"-rw-r----- root {UNIT}"
    guest.run(f"setpriv --reuid={UNIT} --regid={UNIT} --clear-groups test -r {CONFIG}")
    assert guest.run(f"setpriv --reuid={UNIT} --regid={UNIT} --clear-groups test -w {CONFIG}", check=False).returncode


def test_it_serves_with_certificates_that_only_root_can_read(guest: Guest, authority: Authority, traffic: Traffic):
    configure(guest, authority)
    assert "0 errors" in guest.read("synapse-gateway check")
    start(guest)
    with traffic.during("serving") as tally:
        pass
    nothing_lost(tally, within=SOON)
    assert guest.read(f"ps -o user:20= -p {main_pid(guest)}") == UNIT
    capabilities = int(re.search(r"CapBnd:\s*(\w+)", guest.read(f"cat /proc/{main_pid(guest)}/status"))[1], 16)
    assert capabilities == 1 << 10, "CAP_NET_BIND_SERVICE alone"
    for directory in ("live", "archive"):
        opened = as_the_service(guest, f"ls /etc/letsencrypt/{directory}")
        assert "Permission denied" in opened.stdout, opened.stdout


def test_the_sandbox_is_as_tight_as_is_promised(guest: Guest):
    report = guest.run(f"systemd-analyze security --no-pager {UNIT}").stdout
    level = float(re.search(r"exposure level for \S+: ([0-9.]+)", report)[1])
    assert level <= 1.4, report


def test_without_a_capability_the_sandbox_is_tighter_still_and_loses_nothing(guest: Guest, traffic: Traffic):
    drop_in, examples = f"/etc/systemd/system/{UNIT}.service.d", f"/usr/share/doc/{UNIT}/examples"
    guest.run(f"mkdir {drop_in} && cp {examples}/no-capability.conf {drop_in}/")
    socket = guest.read(f"cat {examples}/{UNIT}.socket")
    # The addresses are those of the configuration.
    socket = re.sub("(ListenStream=[0-9]+\n)+", f"ListenStream={ADDRESS}:{PORT}\n", socket)
    guest.write(f"/etc/systemd/system/{UNIT}.socket", socket)
    guest.run(f"systemctl daemon-reload && systemctl stop {UNIT} && systemctl start {UNIT}.socket {UNIT}")
    report = guest.run(f"systemd-analyze security --no-pager {UNIT}", check=False).stdout
    level = float(re.search(r"exposure level for \S+: ([0-9.]+)", report)[1])
    assert level <= 1.1, report
    assert re.search(r"CapBnd:\s*0+\s", guest.read(f"cat /proc/{main_pid(guest)}/status") + "\n")
    session = traffic.open_session()
    with traffic.during("socket unit, reload") as tally:
        guest.run(f"systemctl reload {UNIT}")
    nothing_lost(tally, within=SOON)
    with traffic.during("socket unit, restart") as tally:
        guest.run(f"systemctl restart {UNIT}")
    nothing_lost(tally, within=15.0)
    assert traffic.has_session(session)
    guest.run(f"systemctl stop {UNIT}.socket {UNIT} && rm -r {drop_in} /etc/systemd/system/{UNIT}.socket")
    guest.run("systemctl daemon-reload")
    start(guest)


def test_systemd_has_nothing_to_say_of_the_units(guest: Guest):
    units = f"{UNIT}.service {UNIT}-synapse.service {UNIT}-synapse.path"
    assert guest.run(f"systemd-analyze verify --man=no {units}").stdout == ""


def test_a_reload_loses_nothing(guest: Guest, traffic: Traffic):
    session = traffic.open_session()
    guest.run(f"echo 'timeouts: {{keep_alive: 70s}}' >/etc/synapse-gateway/conf.d/idle.yaml")
    with traffic.during("reload") as tally:
        guest.run(f"systemctl reload {UNIT}")
    assert traffic.has_session(session)
    nothing_lost(tally, within=SOON)


def test_a_reload_that_takes_a_new_process_loses_nothing(guest: Guest, traffic: Traffic):
    session, before = traffic.open_session(), main_pid(guest)
    guest.run("echo 'threads: 3' >/etc/synapse-gateway/conf.d/threads.yaml")
    with traffic.during("reload, new process") as tally:
        guest.run(f"systemctl reload {UNIT}")
    assert traffic.has_session(session)
    nothing_lost(tally, within=SOON)
    assert main_pid(guest) not in (0, before)


def test_a_wrong_configuration_fails_the_reload_and_changes_nothing(guest: Guest, traffic: Traffic):
    before = main_pid(guest)
    guest.run("echo 'threds: 2' >/etc/synapse-gateway/conf.d/wrong.yaml")
    with traffic.during("wrong configuration") as tally:
        assert guest.run(f"systemctl reload {UNIT}", check=False).returncode != 0
    nothing_lost(tally, within=SOON)
    assert main_pid(guest) == before
    assert "threds" in errors(guest), "the journal says what is wrong"
    guest.run("rm /etc/synapse-gateway/conf.d/wrong.yaml")
    guest.run(f"systemctl reload {UNIT}")


def served(guest: Guest) -> str:
    return ssl.get_server_certificate((ADDRESS, PORT), timeout=10)


def test_a_renewed_certificate_is_served_after_certbots_hook(guest: Guest, authority: Authority, traffic: Traffic):
    hooks = "/etc/letsencrypt/renewal-hooks/deploy"
    guest.run(f"mkdir -p {hooks} && cp /usr/share/synapse-gateway/certbot/50-synapse-gateway {hooks}/")
    before = served(guest)
    with traffic.during("certificate renewed") as tally:
        renew(guest, authority, serial=2)
        guest.run(f"RENEWED_LINEAGE=/etc/letsencrypt/live/{HOST} run-parts {hooks}")
        wait_for("the new certificate", lambda: served(guest) != before, 10)
    nothing_lost(tally, within=SOON)
    issued = (authority.file.parent / f"{HOST}-2.pem").read_text()
    assert issued.startswith(served(guest).strip())


def test_a_change_of_synapses_files_is_taken_over_although_only_root_can_read_them(guest: Guest, traffic: Traffic):
    homeserver = "/etc/matrix-synapse/homeserver.yaml"
    text = f"server_name: example.com\npublic_baseurl: https://{HOST}/\nmacaroon_secret_key: not-for-the-service\n"
    text += "listeners: [{port: 8008, type: http, x_forwarded: true, resources: [{names: [client, federation]}]}]\n"
    guest.write(homeserver, text + "max_upload_size: 20M\n", 0o600)
    guest.run("echo 'synapse: {config: /etc/matrix-synapse, watch: apply}' >/etc/synapse-gateway/conf.d/synapse.yaml")
    guest.run(f"systemctl reload {UNIT}")
    derived = "/run/synapse-gateway/synapse.yaml"
    assert "20" in guest.read(f"cat {derived}")
    assert "not-for-the-service" not in guest.read(f"cat {derived}")
    guest.run(f"setpriv --reuid={UNIT} --regid={UNIT} --clear-groups cat {derived}")
    with traffic.during("synapse changed") as tally:
        guest.write(homeserver, text + "max_upload_size: 30M\n", 0o600)
        wait_for("the change to be taken over", lambda: "30" in guest.read(f"cat {derived}"), 20)
        wait_for("the reload", lambda: guest.property(f"{UNIT}-synapse", "ActiveState") == "inactive")
    nothing_lost(tally, within=SOON)
    assert guest.property(f"{UNIT}-synapse", "Result") == "success"


def test_a_restart_lets_clients_wait_and_refuses_none(guest: Guest, traffic: Traffic):
    before = main_pid(guest)
    session = traffic.open_session()
    with traffic.during("restart") as tally:
        guest.run(f"systemctl restart {UNIT}")
    assert traffic.has_session(session)
    # The new process starts when the old one has finished the long poll and the upload.
    nothing_lost(tally, within=15.0)
    assert main_pid(guest) != before


def test_a_crash_refuses_no_connection(guest: Guest, traffic: Traffic):
    before = main_pid(guest)
    with traffic.during("crash") as tally:
        guest.run(f"systemctl kill --kill-whom=main --signal=KILL {UNIT}")
        wait_for("the next process", lambda: main_pid(guest) not in (0, before))
    # What the process had begun is lost with it; no connection after it is.
    assert not [error for error in tally.errors if "Refused" in error], tally.errors
    assert tally.counts["new"].lost <= 3, tally.errors
    errors(guest)


def test_after_a_library_was_upgraded_needrestarts_hook_hands_over(guest: Guest, traffic: Traffic):
    with traffic.during("needrestart") as tally:
        guest.run(f"/etc/needrestart/restart.d/{UNIT}.service")
    nothing_lost(tally, within=SOON)


@pytest.fixture(scope="module")
def newer(package: Path, folder: Path) -> Path:
    return repack(package, folder, "+later1", other_binary)


def test_an_upgrade_hands_over_to_the_new_binary_and_loses_nothing(guest: Guest, newer: Path, traffic: Traffic):
    before, edited = main_pid(guest), guest.read(f"cat {CONFIG}")
    session = traffic.open_session()
    with traffic.during("upgrade") as tally:
        output = install(guest, newer)
    assert traffic.has_session(session)
    nothing_lost(tally, within=SOON)
    assert guest.read(f"dpkg-query --show --showformat='${{Version}}' {UNIT}") == field(newer, "Version")
    after = main_pid(guest)
    assert after not in (0, before), output
    assert guest.read(f"readlink /proc/{after}/exe") == "/usr/bin/synapse-gateway"
    assert guest.read(f"cat {CONFIG}") == edited
    wait_for("the old process to end", lambda: guest.run(f"test -e /proc/{before}", check=False).returncode != 0)


def test_an_upgrade_that_policy_forbids_to_act_leaves_the_old_process(
    guest: Guest, package: Path, folder: Path, traffic: Traffic
):
    guest.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    before = main_pid(guest)
    with traffic.during("upgrade, policy-rc.d") as tally:
        install(guest, repack(package, folder, "+later2", lambda tree: None))
    nothing_lost(tally, within=SOON)
    assert main_pid(guest) == before
    guest.run("rm /usr/sbin/policy-rc.d")


def test_after_a_reboot_it_serves_by_itself(guest: Guest, traffic: Traffic):
    guest.reboot()
    guest.seen = ""
    wait_for("the service", lambda: guest.property(UNIT, "ActiveState") == "active")
    with traffic.during("after a reboot") as tally:
        pass
    nothing_lost(tally, within=SOON)


def test_a_service_that_the_operator_disabled_stays_so_through_an_upgrade(guest: Guest, package: Path, folder: Path):
    guest.run(f"systemctl disable --quiet --now {UNIT}")
    install(guest, repack(package, folder, "+later3", lambda tree: None))
    assert guest.run(f"systemctl is-enabled {UNIT}", check=False).stdout.strip() == "disabled"
    assert guest.property(UNIT, "ActiveState") == "inactive"
    guest.run(f"systemctl enable --quiet --now {UNIT}")


def test_removing_gives_the_ports_back_and_keeps_the_configuration(guest: Guest):
    assert listening(guest) != ""
    guest.run(f"apt-get remove --yes {UNIT}")
    assert listening(guest) == ""
    guest.run(f"test -e {CONFIG}")
    assert guest.run(f"systemctl cat {UNIT}", check=False).returncode != 0


def test_installed_again_it_serves_what_was_configured(guest: Guest, package: Path, folder: Path, traffic: Traffic):
    output = install(guest, repack(package, folder, "+later4", lambda tree: None))
    assert "waits for its configuration" not in output
    wait_for("the service", lambda: guest.property(UNIT, "ActiveState") == "active")
    with traffic.during("installed again") as tally:
        pass
    nothing_lost(tally, within=SOON)


def test_purging_leaves_nothing(guest: Guest):
    guest.run(f"apt-get purge --yes {UNIT}")
    # What other programs have is theirs.
    left = {name for name in guest.files() - guest.before if not re.match("/etc/(letsencrypt|matrix-synapse)", name)}
    assert left == set()
    assert listening(guest) == ""
    assert "synapse-gateway" in guest.read("getent passwd synapse-gateway"), "its number is nobody else's"
