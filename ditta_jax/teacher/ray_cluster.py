"""A Ray cluster, where there is one: student and teacher are spread over it alike.

Ray is an extra; nothing here is imported unless an executor asks for it.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from ditta_jax.errors import UserError


class Cluster(NamedTuple):
    """A cluster that this process is connected to.

    Attributes:
        ray: Ray's module.
        machines: how many are alive.
        gpus: how many they have together.
        cores: of the machine that has the fewest, as Ray counts them.
    """

    ray: Any
    machines: int
    gpus: int
    cores: int

    def workers(self, on_gpus: bool = True) -> int:
        """Actors that keep it busy: one for each GPU, or for each machine where there are none."""
        return self.gpus if on_gpus and self.gpus else self.machines

    def actor(self, kind: type, count: int, on_gpus: bool = True) -> Any:
        """A class as actors, spread over the machines.

        Args:
            kind: the class.
            count: how many there will be; they share a machine's cores, which Ray then lets their
                libraries use.
            on_gpus: each takes a GPU, where there are some.
        """
        gpus = int(on_gpus and self.gpus > 0)
        cores = max(1, self.cores // -(-count // self.machines))
        placed = {"num_cpus": cores, "num_gpus": gpus, "scheduling_strategy": "SPREAD"}
        return self.ray.remote(**placed)(kind)


def connected(address: str = "") -> Cluster:
    """Connect to a cluster.

    Args:
        address: of it; empty: what RAY_ADDRESS says, one that runs here, or else a new one.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise UserError(
            "executor: ray needs Ray, which is not installed; pip install 'ditta-jax[ray]', or use "
            "the executor local"
        ) from None
    if not ray.is_initialized():
        try:
            ray.init(address or None, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where, reason = address or "RAY_ADDRESS", " ".join(str(error).split())[:200]
            raise UserError(f"executor: no Ray cluster at {where}: {reason}") from None
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(has.get("GPU", 0)) for has in alive)
    return Cluster(ray, len(alive), gpus, min(int(has.get("CPU", 1)) for has in alive))
