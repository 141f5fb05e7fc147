"""Whole videos on a Ray cluster of two nodes: the results of one process."""

import os
import signal
from pathlib import Path

import pytest

from ditta_jax.configuration import default_config
from ditta_jax.errors import UserError
from ditta_jax.runs import settings
from ditta_jax.runs.progress import RunProgress
from ditta_jax.runs.ray_executor import Outcome, _Crew, _shares
from ditta_jax.teacher.ray_cluster import connected
from tests import small_run
from tests.ray_nodes import two_nodes


class Scripted:
    """An actor that fails at "bad", is killed by "deadly", and once by "unlucky"."""

    def __init__(self, place):
        self.place = Path(place)

    def adapt(self, names):
        (self.place / f"{os.getpid()}").touch()
        for name in names:
            mark = self.place / f"{name} was tried"
            if name == "deadly" or (name == "unlucky" and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if "fatal" in names:
            return Outcome({}, "the teacher stopped: no weights")
        return Outcome({name: "it cannot be read" for name in names if name == "bad"})


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as cluster:
        yield cluster


def crew(cluster, place):
    found = connected(cluster.address)
    actor = found.actor(Scripted, 2)
    return _Crew(found, 2, lambda: actor.remote(str(place)), RunProgress(9))


def test_two_nodes_take_an_actor_each(cluster):
    found = connected(cluster.address)
    assert (found.machines, found.gpus, found.cores, found.workers()) == (2, 0, 1, 2)


def test_actors_that_die_and_videos_that_fail_leave_the_others_alone(cluster, tmp_path):
    shares = [("a", "unlucky"), ("bad", "b"), ("deadly", "c"), ("d",)]
    failures = crew(cluster, tmp_path).do(shares)
    assert failures.keys() == {"bad", "deadly"} and failures["bad"] == "it cannot be read"
    assert "every actor that tried it ended" in failures["deadly"]
    assert (tmp_path / "unlucky was tried").exists()


def test_what_no_video_is_to_blame_for_ends_the_run(cluster, tmp_path):
    with pytest.raises(UserError, match="no weights"):
        crew(cluster, tmp_path).do([("a",), ("fatal",)])


def test_a_run_on_two_nodes_ends_as_in_one_process(cluster, tmp_path):
    small_run.make(tmp_path, videos=3)
    on_ray = ["--executor=ray", f"--config.parallel.ray_address={cluster.address}"]
    for name, words in (("here", []), ("ray", on_ray)):
        run = small_run.Run(tmp_path, tmp_path / name, *words)
        assert run.end() == 0, "".join(run.lines)
    assert small_run.content(tmp_path / "ray") == small_run.content(tmp_path / "here")


@pytest.mark.parametrize(("videos", "count", "least"), [(1, 2, 1), (7, 2, 3), (40, 2, 1)])
def test_every_video_is_in_one_share(videos, count, least):
    names = [str(v) for v in range(videos)]
    shares = _shares(names, count, least)
    assert [name for share in shares for name in share] == names
    assert all(len(share) >= least for share in shares[:-1])


def test_ray_and_a_coordinator_exclude_each_other():
    config = default_config()
    config.parallel.update(executor="ray", coordinator="auto")
    with pytest.raises(UserError, match="without parallel.coordinator"):
        settings.check(config, several=True)
    config.parallel.coordinator = ""
    settings.check(config, several=True)
    with pytest.raises(UserError, match="ray is for ditta_jax.adapt"):
        settings.check(config)
