"""The table of endpoints is true of the Synapse that the tests run, as `routes verify` asks it."""

import json
import subprocess
import sys

import pytest

from harness.gateway import gateway_binary
from harness.synapse import Synapse

MAS = {
    "matrix_authentication_service": {
        "enabled": True,
        "endpoint": "http://localhost:1/",
        "secret": "only-for-this-test",
    }
}
# With MAS, Synapse accepts no registration of its own.
WITHOUT_REGISTRATION = {
    "enable_registration": False,
    "enable_registration_without_verification": False,
    "password_config": {"enabled": False},
}


def verify(synapse: Synapse, *more: str) -> subprocess.CompletedProcess:
    command = [gateway_binary(), "routes", "verify", "--python", sys.executable]
    command += ["--config-path", synapse.config_file, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize("extra", [{}, MAS | WITHOUT_REGISTRATION], ids=["synapse", "mas"])
def test_no_worker_is_sent_what_it_does_not_know(folder, request, extra):
    synapse = Synapse(folder / request.node.name, "localhost", "https://localhost/", extra)
    files = sorted(synapse.folder.iterdir())
    verified = verify(synapse, "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    told = json.loads(verified.stdout)
    assert told["delegated"] == bool(extra)
    assert told["comparison"]["compared"] > 500
    assert told["comparison"]["missed"] == []
    # Neither the database nor anything else that is configured has been made.
    assert sorted(synapse.folder.iterdir()) == files


def test_a_configuration_that_synapse_refuses_is_told_without_its_secrets(folder, request):
    synapse = Synapse(folder / request.node.name, "localhost", "https://localhost/")
    synapse.config_file.write_text(synapse.config_file.read_text() + "form_secret: *hunter2\n")
    verified = verify(synapse)
    assert verified.returncode == 1, verified.stdout
    assert f"in {synapse.config_file}, line " in verified.stderr
    assert "hunter2" not in verified.stderr
    synapse.config_file.write_text("server_name: '@hunter2:localhost'\nreport_stats: false\n")
    verified = verify(synapse)
    assert verified.returncode == 1, verified.stdout
    assert verified.stderr.startswith("error: ") and "hunter2" not in verified.stderr, verified.stderr
