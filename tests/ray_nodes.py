"""A Ray cluster of two nodes on this machine, for tests; skipped where Ray is missing."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@contextmanager
def two_nodes():
    """Starts them, connects this process, and yields the cluster."""
    ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'ditta-jax[ray]'")
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), before]))
    one = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=one)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        ray.init(cluster.address, log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
