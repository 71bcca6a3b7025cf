"""Where requests went: what the gateway's access log and the logs of Synapse's processes say of them."""

import json
from dataclasses import dataclass

import httpx

from harness.synapse import Synapse
from harness.waiting import wait_for
from world import World


@dataclass(frozen=True)
class Journey:
    """One request's way: which process the gateway chose in which role, and which processes worked on it."""

    role: str | None
    upstream: str | None
    worked: frozenset[str]


def records(world: World) -> list[dict]:
    """The access log so far; the last line may still be on its way."""
    lines = world.gateway.log.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.startswith('{"time"') and line.endswith("\n")]


def record_of(world: World, answer: httpx.Response) -> dict:
    """The record of the request that got this answer."""
    request_id = answer.headers["x-request-id"]

    def found() -> dict | None:
        return next((record for record in records(world) if record["request_id"] == request_id), None)

    return wait_for("the line of the request", found, 10)


def workers_of(synapse: Synapse, request_id: str) -> frozenset[str]:
    """The processes that say that they have processed this request."""

    def processed(line: str) -> bool:
        return request_id in line and "Processed request" in line

    def found() -> frozenset[str]:
        names = [
            process.name for process in synapse.processes if any(map(processed, process.log.splitlines()))
        ]
        return frozenset(names)

    return wait_for("Synapse's line of the request", found, 10)


def journey_of(world: World, answer: httpx.Response) -> Journey:
    record = record_of(world, answer)
    return Journey(record["role"], record["upstream"], workers_of(world.synapse, record["request_id"]))
