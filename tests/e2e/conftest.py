"""The worlds that the tests share; each is started once and ended by pid, also after a failure."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from harness.certificates import Authority
from harness.gateway import REPOSITORY, Gateway
from harness.ports import free_port
from harness.deployment import Deployment
from harness.synapse import Synapse
from stub import upstream_that_closes, upstream_that_never_answers
from world import BROKEN_SESSIONS, World


#: What the homeserver of `world` is, by the name that `--deployment` takes.
DEPLOYMENTS = {"single": Synapse, "workers": Deployment}


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "run Synapse as a single process on SQLite, or as a main process and workers on PostgreSQL and Redis"
    parser.addoption("--deployment", choices=list(DEPLOYMENTS), default="single", help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is marked as for another deployment."""
    chosen = config.getoption("deployment")
    markers = {item: item.get_closest_marker("deployment") for item in items}
    others = [item for item, marker in markers.items() if marker and marker.args[0] != chosen]
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest) -> Path:
    """Where configurations, databases and logs of this run stay for a look afterwards."""
    runs = Path(os.environ.get("E2E_RUN_DIR", REPOSITORY / "target/e2e/run"))
    folder = runs / request.config.getoption("deployment")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def authority(folder: Path) -> Authority:
    return Authority(folder / "ca")


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest, folder: Path, authority: Authority):
    world = World(folder, authority, "one", DEPLOYMENTS[request.config.getoption("deployment")])
    try:
        yield world.start()
    finally:
        world.stop()


@pytest.fixture(scope="session")
def other_world(folder: Path, authority: Authority):
    """A second homeserver behind its own gateway, for federation."""
    world = World(folder, authority, "two")
    try:
        yield world.start()
    finally:
        world.stop()


@pytest.fixture(scope="session")
def broken(folder: Path, authority: Authority):
    """Gateways by what is wrong with their Synapse, all with the same certificate."""
    certificate = authority.issue("gateway-broken")
    refused = f"http://127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        closes = stack.enter_context(upstream_that_closes())
        silent = stack.enter_context(upstream_that_never_answers())
        extra_routes = [
            {"path": "/closes/", "proxy": closes},
            {"path": "/silent/", "proxy": silent},
            {"path": "/refused/", "proxy": refused},
        ]
        upstreams = {
            "refused": refused,
            "closes": closes,
            "silent": silent,
            "patient": silent,
            "cdn": refused,
        }
        gateways = {}
        for name, upstream in upstreams.items():
            gateway = Gateway(folder / f"gateway-{name}", authority, certificate)
            # The patient one waits for its upstream, but not for its clients.
            hurry = {"body_idle": "1s"} if name == "patient" else {"first_byte": "1s"}
            config = gateway.config(
                "localhost",
                upstream.removeprefix("http://"),
                restart_grace="0s",
                timeouts={"linger": "1s"} | hurry,
                admin_api={"enabled": True, "networks": ["10.0.0.0/8"]},
                rendezvous={"enabled": True, "max_entries": BROKEN_SESSIONS},
                errors={"cdn_safe": name == "cdn"},
                extra_routes=extra_routes,
            )
            stack.callback(gateway.stop)
            gateways[name] = gateway.start(config)
        yield gateways


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def protocol(request) -> str:
    return request.param
