import json

import pytest

from ditta_jax.algorithm import precision
from ditta_jax.configuration.command_line import load
from ditta_jax.errors import UserError, WriteError
from ditta_jax.runs import all_videos, profiling
from tests import small_run
from tests.docs import schemas


@pytest.fixture
def config(tmp_path):
    """Two tiny videos with the ground truth as teacher."""
    small_run.make(tmp_path, 2)
    file = tmp_path / "settings.py"
    file.write_text(small_run.CONFIG.format(folder=tmp_path, output=tmp_path / "runs"))
    config = load(str(file))
    config.teacher.update(config="ground-truth")
    config.profile.folder = str(tmp_path / "trace")
    config.report.update(page=0, video=False, overlays=0, gradient_norm=True)
    return config


def test_the_chosen_video_is_traced_with_the_names_of_the_stages(config, tmp_path):
    config.profile.videos = ("street_1",)
    with precision.policy(**config.precision):
        all_videos.adapt_videos(config)
    (trace,) = (tmp_path / "trace").rglob("*.xplane.pb")
    assert trace.relative_to(tmp_path / "trace").parts[:2] == ("street_1", "work")
    content = trace.read_bytes()
    for scope in (b"stage_a", b"stage_c", b"stage_d", b"optimiser"):
        assert scope in content, scope
    assert list(trace.parent.glob("*.trace.json.gz"))

    # and each step of adaptation tells the norm of its gradient
    schemas.check_run(tmp_path / "runs" / "run", ("videos",))
    rows = (tmp_path / "runs" / "run" / "losses.jsonl").read_text().splitlines()
    assert rows and all(json.loads(row)["gradient_norm"] > 0 for row in rows)


def test_a_folder_that_cannot_be_written_is_told_before_the_work(config, tmp_path):
    (tmp_path / "trace").write_text("a file")
    work = type("Work", (), {"config": config, "videos": type("V", (), {"names": ("a",)})})
    with pytest.raises(WriteError, match="trace"), profiling.traced(work, ["a"], "work"):
        pytest.fail("the work began")
    with profiling.traced(work, ["b"], "work"):  # another is not traced
        pass


@pytest.mark.robustness(
    "Settings and command line",
    "profile.videos that are none of the run's, or a profile.folder that cannot be written",
    "refused before any work",
)
@pytest.mark.parametrize(
    ("folder", "videos", "words"),
    [
        ("trace", ("street_2",), "profile.videos: no video 'street_2'; 'street_1' is meant?"),
        ("trace", ("street_1", "é"), "profile.videos: no video 'é'; there are 2 others"),
        ("trace", ("../street_1",), "profile.videos: no video '../street_1'; "),
        ("videos/street_0/mask/0.png", ("",), "0.png is a file and not a folder"),
        ("videos/street_0/mask/0.png/below", ("",), "0.png is a file and not a folder"),
    ],
)
def test_traces_of_nothing_are_refused(config, tmp_path, said, folder, videos, words):
    config.profile.update(folder=str(tmp_path / folder), videos=videos)
    with pytest.raises(UserError) as error:
        all_videos.adapt_videos(config)
    assert words in said(str(error.value)) and not (tmp_path / "runs").exists()
