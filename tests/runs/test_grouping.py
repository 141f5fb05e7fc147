from types import SimpleNamespace

import pytest

from ditta_jax.configuration import default_config
from ditta_jax.data.video import Video, Videos
from ditta_jax.errors import UserError
from ditta_jax.runs.failures import Failures
from ditta_jax.runs.grouping import side_by_side

LANDSCAPE, PORTRAIT = (20, 30), (30, 20)
SIZES = {
    "a": LANDSCAPE,
    "b": PORTRAIT,
    "c": LANDSCAPE,
    "d": LANDSCAPE,
    "e": PORTRAIT,
    "f": PORTRAIT,
}
WARM_UPS = dict.fromkeys(SIZES, 8) | {"d": 7, "f": 9}  # 7 is padded to 8, 9 to 12


@pytest.fixture
def work():
    names = tuple("abcdef")
    videos = Videos(names, lambda v: Video(names[v], SIZES[names[v]], [], None))
    config = default_config()
    return SimpleNamespace(
        config=config, videos=videos, warm_up_length=lambda video: WARM_UPS[video.name]
    )


@pytest.mark.parametrize(
    ("most", "names", "groups"),
    [
        (2, "abcdef", ["ac", "be", "d", "f"]),
        (3, "abcdef", ["acd", "be", "f"]),
        (2, "abdf", ["ad", "b", "f"]),  # some are finished already
        (8, "fedcba", ["f", "eb", "dca"]),
        (2, "", []),
        (1, "abc", ["a", "b", "c"]),
    ],
)
def test_videos_of_one_program_meet_wherever_they_are_in_the_list(work, most, names, groups):
    found = side_by_side(work, names, Failures(), lambda program: most)
    assert ["".join(group) for group in found] == groups


def test_one_at_a_time_none_is_opened_before_its_turn(work):
    work.videos = None
    assert side_by_side(work, ["a", "b"], Failures()) == [["a"], ["b"]]


def test_what_does_not_fit_is_split_or_refused(work):
    def fits(program):
        if program.length > 8:
            raise UserError("too long")
        return 2 if program.size == LANDSCAPE else 1

    failures = Failures()
    found = side_by_side(work, "abcdef", failures, fits)
    assert ["".join(group) for group in found] == ["ac", "b", "d", "e"]
    assert failures == {"f": "too long"}
