"""Teachers as actors of a Ray cluster; the teacher is optical flow, which needs no weights."""

import os
import signal
import sys

import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import masklets_path, read_masklets, teacher_key, write_request
from ditta_jax.teacher.identity import FLOW, teacher_identity
from teacher_bridge.__main__ import main
from teacher_bridge.serving.entries import find_entries
from teacher_bridge.serving.questions import Listed, listed
from teacher_bridge.serving.ray_pool import Answerer, RayPool, Work
from teacher_bridge.serving.serve import serve
from teacher_bridge.serving.teachers import make_teacher
from tests.ray_nodes import two_nodes
from tests.teacher_bridge.scenes import (
    ListedFrames,
    central_reliability,
    moving_squares,
    request_for,
)

IDENTITY = teacher_identity(FLOW, "", "float32")
KEY = teacher_key(IDENTITY)
WORK = Work((FLOW, "", "cpu", "float32"), IDENTITY, KEY, 0)


class Mortal(Answerer):
    """Dies of the video v1, each time or the first time."""

    def __init__(self, work, marker, always):
        super().__init__(work)
        self._marker, self._always = marker, always

    def answer(self, name, files):
        if name.startswith("v1-") and (self._always or not os.path.exists(self._marker)):
            open(self._marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(name, files)


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as cluster:
        yield cluster


@pytest.fixture
def cache(tmp_path):
    images, labels = moving_squares(4, (48, 64))
    for v in range(3):
        request = request_for(labels, central_reliability(labels), 3, video=f"v{v}")
        write_request(tmp_path / "cache", request, ListedFrames(images))
    return tmp_path / "cache"


def masks(cache):
    """Of every entry, without what a run says of itself."""
    answers = [read_masklets(folder, KEY) for folder in find_entries(cache, ())]
    return [a and (a.objects, a.frames) for a in answers]


@pytest.fixture
def expected(cache):
    """What one teacher here answers; the answers are gone again."""
    serve(find_entries(cache, ()), make_teacher(*WORK.teacher), IDENTITY, KEY, lambda event: None)
    found = masks(cache)
    for folder in find_entries(cache, ()):
        masklets_path(folder, KEY).unlink()
    assert None not in found
    return found


def test_actors_leave_the_masks_of_one_teacher(cluster, cache, expected):
    events = []
    pool = RayPool(WORK, events.append)
    assert pool.workers == 2  # one a node
    assert pool.answer(listed(find_entries(cache, ()), 0, events.append)) == []
    assert masks(cache) == expected
    kinds = [event["event"] for event in events]
    assert kinds[0] == "start" and sorted(kinds[1:]) == ["begin"] * 3 + ["video"] * 3
    assert [e["done"] for e in events if e["event"] == "video"] == [1, 2, 3]
    assert not list(cache.glob("*/.claim*"))


def test_the_command_asks_ray(cluster, cache, expected, capsys):
    arguments = ["--cache", str(cache), "--config", FLOW, "--executor", "ray"]
    assert main([*arguments, "--ray-address", cluster.address]) == 0
    assert masks(cache) == expected and "[3/3]" in capsys.readouterr().out


def mortal_pool(tmp_path, always):
    pool = RayPool(WORK, lambda event: None)
    pool.new_actor = lambda: pool.cluster.actor(Mortal, 2).remote(
        WORK, str(tmp_path / "died"), always
    )
    return pool


def test_an_actor_that_dies_leaves_its_video_to_another(cluster, cache, expected, tmp_path):
    assert mortal_pool(tmp_path, always=False).answer(Listed(find_entries(cache, ()))) == []
    assert (tmp_path / "died").exists() and masks(cache) == expected


def test_a_video_that_kills_every_actor_is_given_up(cluster, cache, expected, tmp_path):
    (failure,) = mortal_pool(tmp_path, always=True).answer(Listed(find_entries(cache, ())))
    assert "v1-" in failure and "every actor that tried it ended" in failure
    assert masks(cache) == [expected[0], None, expected[2]]


def test_a_teacher_that_cannot_start_is_one_error(cluster, cache):
    settings = ("no_such_sam.yaml", "", "cpu", "float32")
    pool = RayPool(WORK._replace(teacher=settings), lambda event: None)
    with pytest.raises(UserError, match="no_such_sam.yaml"):
        pool.answer(Listed(find_entries(cache, ())))


def test_without_ray_a_word_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'ditta-jax\[ray\]'"):
        RayPool(WORK, print)


def test_several_devices_are_rays_own_to_share_out(cache):
    arguments = ["--cache", str(cache), "--executor", "ray", "--device", "cuda:0,cuda:1"]
    with pytest.raises(UserError, match="Ray shares out the devices"):
        main(arguments)
