"""Settings side by side equal single runs; grids are read strictly."""

import json
from pathlib import Path

import pytest

from ditta_jax import sweep
from ditta_jax.algorithm import precision
from ditta_jax.configuration import default_config
from ditta_jax.data.procedural.classes import CLASSES, PALETTE
from ditta_jax.errors import UserError
from ditta_jax.runs import all_videos, devices
from ditta_jax.runs.progress import RunProgress
from ditta_jax.runs.sweep_records import SweepRecords
from ditta_jax.students import checkpoint
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student
from ditta_jax.teacher import ground_truth


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A tiny student on one video of the tiny data set, the ground truth as teacher."""
    folder = tmp_path_factory.mktemp("sweep")
    sizes = SegFormerConfig(
        len(CLASSES), (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=8
    )
    card = checkpoint.StudentCard(sizes, CLASSES, PALETTE, {})
    checkpoint.save(folder / "student", new_student(sizes), card)
    config = default_config()
    config.update(name="sweep", output=str(folder))
    config.student.checkpoint = str(folder / "student")
    config.data.update(builder="procedural_drive/tiny", data_dir=str(folder / "tfds"), max_videos=1)
    config.input.scale = (64, 64)
    config.warmup.percent = 50.0
    config.tta.iters = 2
    config.metrics.windows = (2,)
    config.teacher.config = ground_truth.NAME
    config.precision.compute = "float64"  # in single, last bits decide labels here
    return config


@pytest.fixture
def double(config):
    with precision.policy(**config.precision):
        yield


def test_each_setting_scores_as_a_run_of_its_own(config, double):
    grid = sweep.read_grid(["tta.lr=0,1e-2", "vote.area_power=0.3,2"])
    rows = sweep.sweep(config, grid)
    assert rows == json.loads((Path(config.output) / "sweep" / "sweep.json").read_text())
    assert [row["setting"] for row in rows] == [
        "frozen student",
        "tta.lr=0 vote.area_power=0.3",
        "tta.lr=0 vote.area_power=2",
        "tta.lr=0.01 vote.area_power=0.3",
        "tta.lr=0.01 vote.area_power=2",
    ]
    assert len({row["mIoU"] for row in rows}) > 2  # the settings matter
    for settings, row in zip(grid[2:], rows[3:], strict=True):
        single = sweep.with_settings(config, settings)
        with single.unlocked():
            single.name = row["setting"]
        methods = all_videos.adapt_videos(single)["methods"]
        for score in ("mIoU", "wIoU", "mVC2"):
            assert row[score] == pytest.approx(methods["ditta"][score], abs=1e-9)
            assert rows[0][score] == methods["frozen"][score]


def computed_settings(monkeypatch):
    """A list that the number of settings of every computed video is added to."""
    counts, one = [], sweep.sweep_video

    def counted(work, video, warm_up, settings, progress):
        counts.append(len(settings))
        return one(work, video, warm_up, settings, progress)

    monkeypatch.setattr(sweep, "sweep_video", counted)
    return counts


@pytest.mark.robustness(
    "Run folders", "an interrupted sweep, or one with another grid", "computes what is missing"
)
def test_a_sweep_goes_on_where_it_was(config, double, monkeypatch, tmp_path):
    own = sweep.with_settings(config, {"output": str(tmp_path)})
    whole = sweep.read_grid(["tta.lr=0,1e-2"])
    save, done = SweepRecords.save, []

    def killed(records, *rest):
        save(records, *rest)
        done.append(rest)
        if len(done) == 2:  # the frozen student and the first setting
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SweepRecords, "save", killed)
        sweep.sweep(own, whole)
    counts = computed_settings(monkeypatch)
    rows = sweep.sweep(own, whole)
    assert counts == [1] and len({row["mIoU"] for row in rows}) == 3
    assert sweep.sweep(own, whole) == rows and counts == [1]

    more = sweep.sweep(own, sweep.read_grid(["tta.lr=1e-2,1e-3"]))
    assert counts == [1, 1] and more[0] == rows[0] and more[1] == rows[2]
    assert [row["setting"] for row in more[1:]] == ["tta.lr=0.01", "tta.lr=0.001"]

    file = sorted((tmp_path / "sweep" / "sweep").rglob("*.json"))[0]
    file.write_bytes(file.read_bytes()[:-3])
    assert sweep.sweep(own, whole)[1:] == rows[1:]
    all_videos.adapt_videos(own)  # a run may have the name of a sweep


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "name what to vary"),
        (["tta.iters=1,2"], "'tta.iters' cannot be swept"),
        (["tta.lr"], "could not convert"),
        (["tta.lr=1e-3,fast"], "could not convert"),
        (["tta.lr=1e-3", "tta.lr=1e-4"], "tta.lr is given twice"),
        (["tta.lr=1e-3,1e-4,0.001"], "a value is given twice"),
        (["tta.lr=nan"], "'tta.lr' must be in 0.0 … 1.0, not nan"),
        (["tta.lr=1e-3,-1"], "'tta.lr' must be"),
        (["tta.momentum=2"], "'tta.momentum' must be"),
        (["vote.area_power=inf"], "'vote.area_power' must be"),
        (["tta.lr=" + ",".join(f"{i}e-5" for i in range(1, 1002))], "1001 settings, at most 1000"),
    ],
)
@pytest.mark.robustness(
    "Settings and command line",
    "a sweep's key or value given twice, out of range, or too many settings",
    "refused",
)
def test_a_grid_that_cannot_be_swept_is_refused(texts, message, said):
    with pytest.raises(UserError, match=message) as caught:
        sweep.read_grid(texts)
    said(str(caught.value)[:200])


def test_grids_make_their_product():
    grid = sweep.read_grid(["tta.lr=1e-4,1e-3", "tta.momentum=0.9"])
    assert grid == [{"tta.lr": 1e-4, "tta.momentum": 0.9}, {"tta.lr": 1e-3, "tta.momentum": 0.9}]


def test_quiet_leaves_the_progress_out(monkeypatch, capsys):
    def swept(config, grid):
        with RunProgress(1) as progress:
            progress.say("at work")
        return [{"failed": []}]

    monkeypatch.setattr(sweep, "sweep", swept)
    monkeypatch.setattr(devices, "prepare", lambda *_: None)
    words = ["sweep", "--config", "demo", "--grid", "tta.lr=1e-3"]
    for more, said in (([], "at work\n"), (["--quiet"], "")):
        monkeypatch.setattr("sys.argv", words + more)
        assert sweep.main() == 0
        assert capsys.readouterr().err == said
