"""The way to a Ray cluster: one that is there, or one of this machine alone."""

from __future__ import annotations

import logging
import math
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import IVGError, shortly

#: The address of no cluster: one is started on this machine, and ends with the work.
LOCAL = "local"
STORE = 80 * 2**20  # bytes for results on their way, which are small: the least that Ray takes
PATIENCE = 5.0  # seconds for a machine to answer at all
#: What Ray reads when it is loaded.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # says nothing of workers that die: the pool does
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as later Rays have it; this one would warn of the change
}


def read_address(text: str) -> str:
    """Where a cluster is: "local", "auto" (the one that this machine belongs to), or host:port of its head.

    Raises:
        IVGError: something else stands there.
    """
    if text not in (LOCAL, "auto") and not re.fullmatch(r"[^\s/:]+:\d{1,5}", text):
        raise IVGError(f'{text!r} is no address of a Ray cluster: give its head as host:port, "auto" or nothing.')
    return text


@contextmanager
def ray_cluster(address: str) -> Iterator[Any]:
    """The package `ray`, connected to a cluster for as long as the block lasts.

    Args:
        address: see `read_address`.

    Raises:
        IVGError: Ray is not installed, or there is no cluster at the address.
    """
    _answers(address)
    os.environ.update(QUIET)
    try:
        import ray
    except ImportError as error:
        raise IVGError(f"Ray is not installed ({shortly(error)}): pip install comfy-ivg[ray]") from error
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL, "include_dashboard": False}
    try:
        ray.init(address, **quiet, **({"object_store_memory": STORE} if address == LOCAL else {}))
    except Exception as error:  # it has a kind for each way to fail
        raise IVGError(
            f"The Ray cluster {address!r} cannot be reached or started ({shortly(error)}): see that it runs, with the "
            "same version of Ray; where its head wants a token, set RAY_AUTH_MODE=token."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _answers(address: str) -> None:
    """Ray itself asks a head that is not there for a minute."""
    host, colon, port = read_address(address).partition(":")
    if colon:
        try:
            socket.create_connection((host, int(port)), PATIENCE).close()
        except (OSError, OverflowError) as error:
            raise IVGError(
                f"There is no Ray cluster at {address} ({shortly(error)}): check the address of its head."
            ) from error


@dataclass(frozen=True)
class Need:
    """What one worker takes of a machine."""

    cpus: int
    gpus: int

    def __str__(self) -> str:
        return "a GPU" if self.gpus else f"{self.cpus} CPUs" if self.cpus > 1 else "a CPU"


@dataclass(frozen=True)
class Machine:
    """A living node of the cluster."""

    id: str
    name: str
    places: int  # for workers


def machines(ray: Any, need: Need) -> list[Machine]:
    """The machines that are there at this moment, with places for at least one worker."""
    kind, amount = ("GPU", need.gpus) if need.gpus else ("CPU", need.cpus)
    found = [
        Machine(node["NodeID"], node["NodeManagerHostname"], math.floor(node["Resources"].get(kind, 0) / amount))
        for node in ray.nodes()
        if node["Alive"]
    ]
    return [machine for machine in found if machine.places]
