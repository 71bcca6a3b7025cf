"""Every process of Synapse is killed and restarted under load: which requests are lost?

Nothing that may be repeated, and nothing that had not been sent yet. What a process had taken and not answered when it
was killed, and must not be done twice, cannot be helped.
"""

import time
from pathlib import Path

import pytest

from harness.deployment import WORKERS, Deployment
from harness.gateway import Gateway
from harness.waiting import wait_for
from load import KINDS, PATIENCE, Asked, Load, Phase, User, table
from world import World

pytestmark = pytest.mark.deployment("workers", reason="a single process has nobody who could answer in its place")

#: How long a process stays away before it is started again.
AWAY = {"worker": 2, "main": 10}


@pytest.fixture(scope="module")
def gateway(world: World, folder: Path):
    """One of our own before the processes of `world`. It waits for them longer than usual: they start slowly here."""
    gateway = Gateway(folder / "gateway-lost", world.authority, world.gateway.certificate)
    config = gateway.config(world.server_name, world.synapse.upstreams(), restart_grace="90s")
    config["public_baseurl"] = f"{world.gateway.url}/"
    try:
        yield gateway.start(config)
    finally:
        gateway.stop()


@pytest.fixture
def deployment(world: World):
    """The processes of `world`, of which all are there again afterwards."""
    yield world.synapse
    for process in world.synapse.processes:
        process.revive()


def users(world: World, gateway: Gateway, number: int) -> list[User]:
    accounts = [world.new_account(base=gateway.url) for _ in range(number)]
    users = []
    for account in accounts:
        room = account.create_room(preset="public_chat")
        for other in accounts:
            other.join(room)
        users.append(User(account, room, account.upload(b"for the load").removeprefix("mxc://")))
    return users


def fault(deployment: Deployment, load: Load, name: str, how: str) -> Phase:
    """Ends a process, waits for as long as it is to stay away, starts it, and waits until it is there, and until all that
    was asked before that has an answer: who waited for it is not to be with it when the next fault comes."""
    process = deployment.process(name)
    phase = Phase(f"{name}, {how}", time.monotonic())
    process.kill() if how == "SIGKILL" else process.stop()
    phase.gone = time.monotonic()
    time.sleep(AWAY["main" if name == "main" else "worker"])
    process.start()
    phase.back = time.monotonic()
    before = [one for one in load.asked[:] if one.began <= phase.back]
    wait_for("what was asked before", lambda: all(one.ended for one in before), PATIENCE)
    return phase


def was_with(phase: Phase, asked: Asked) -> bool:
    """Whether the request may have been at the process while that ended."""
    return asked.began <= phase.gone and asked.ended >= phase.begun


@pytest.mark.timeout(900)
def test_nothing_that_may_be_repeated_is_lost(
    world: World, deployment: Deployment, gateway: Gateway, folder: Path, capsys: pytest.CaptureFixture
):
    load = Load(users(world, gateway, 6), world.authority.file)
    phases = []
    try:
        with load:
            for kind in KINDS:
                wait_for(f"an answer to {kind.name}", lambda: any(one.kind is kind and one.ended for one in load.asked[:]))
            for name in WORKERS:
                for how in ("SIGKILL", "SIGTERM"):
                    phases.append(fault(deployment, load, name, how))
            for how in ("SIGTERM", "SIGKILL"):
                phases.append(fault(deployment, load, "main", how))
    finally:
        report = table(load.asked, phases)
        (folder.parent / "lost.md").write_text(report)
        with capsys.disabled():
            print(f"\n{report}")

    assert all(asked.ended for asked in load.asked)
    lost = [asked for asked in load.asked if asked.lost]
    assert not [asked for asked in lost if asked.kind.may_be_repeated]
    taken = [asked for asked in load.asked if any(was_with(phase, asked) for phase in phases)]
    assert not [asked for asked in lost if asked not in taken], "it had not been sent to the process that went"
    posted = [asked for asked in load.asked if asked.kind.method == "POST"]
    assert len(lost) <= len(posted) // 50
