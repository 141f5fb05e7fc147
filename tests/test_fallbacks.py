"""Videos that cannot be done, or not adapted to: named, counted, and never "DiTTA" in silence."""

import numpy as np
import pytest

from ditta_jax.configuration import default_config
from ditta_jax.runs import all_videos
from ditta_jax.students import checkpoint
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student
from ditta_jax.teacher import mask_rle, process
from ditta_jax.teacher.cache import read_entry, teacher_key, write_masklets
from ditta_jax.teacher.records import Masklets
from tests.imagined import sessions

SIZE, FRAMES = (32, 48), 4
SIZES = SegFormerConfig(
    2, (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=8, radius=1
)


def imagined_teacher(cache, settings, entries, on_progress):
    """Sees one object in "good", none in "empty", and fails at "bad"."""
    key, failed = teacher_key(process.teacher_identity(settings)), {}
    for entry in entries:
        request = read_entry(entry).request
        if request.video == "bad":
            failed[entry.name] = "it fell asleep"
            continue
        mask = np.zeros(request.size, bool)
        mask[4:20, 4:20] = True
        seen = request.video == "good"
        rows = ((1, mask_rle.encode(mask)),) if seen else ()
        frames = (rows,) * len(request.frames)
        pixels = request.pixels_per_class()
        found = Masklets(request.size, (1,) * seen, frames, pixels, {"teacher": "imagined"})
        write_masklets(entry, key, found)
    return failed


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "open_session", sessions(imagined_teacher))
    card = checkpoint.StudentCard(SIZES, ("a", "b"), ((0, 0, 0), (9, 9, 9)), {"from": "test"})
    checkpoint.save(tmp_path / "student", new_student(SIZES), card)
    random = np.random.default_rng(0)
    for name in ("bad", "empty", "good"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for t in range(FRAMES):
            from PIL import Image

            frame = Image.fromarray(random.integers(0, 256, (*SIZE, 3), np.uint8))
            frame.save(tmp_path / "videos" / name / f"{t}.png")
    config = default_config()
    config.update(name="run", output=str(tmp_path / "runs"))
    config.student.checkpoint = str(tmp_path / "student")
    config.data.update(kind="folder", path=str(tmp_path / "videos"))
    config.input.scale = (48, 32)
    config.warmup.percent = 50.0
    config.tta.update(iters=1, save=True)
    config.report.overlays = 0
    config.teacher.update(config="configs/a.yaml", checkpoint="sha256:" + 64 * "a", run=False)
    return config


@pytest.mark.robustness(
    "Teacher and masklets",
    "a teacher that fails at one video and finds no object in another",
    "the first is recorded as failed, the second keeps the frozen student's labels; exit status 1",
)
def test_failed_and_unadapted_videos_are_said(config, tmp_path, capsys, said):
    result = all_videos.adapt_videos(config)
    assert result["failed"] == {"bad": "it fell asleep"}
    good, empty = (
        next(v for v in result["videos"] if v["name"] == name) for name in ("good", "empty")
    )
    assert good["methods"]["ditta"]["kept_frozen"] is None
    reason = empty["methods"]["ditta"]["kept_frozen"]
    assert reason.startswith("nothing was learnt")
    assert result["methods"]["ditta"]["kept_frozen"] == {"empty": reason}
    told = capsys.readouterr().out
    said(f"failed, not in the table: bad: {result['failed']['bad']}")
    assert "* empty: DiTTA keeps the frozen student's labels" in told
    assert "failed, not in the table: bad: it fell asleep" in told

    # its labels are the frozen student's, and only what was adapted is kept as a student
    predictions = tmp_path / "runs" / "run" / "predictions" / "empty"
    for file in (predictions / "frozen").iterdir():
        assert (predictions / "ditta" / file.name).read_bytes() == file.read_bytes()
    students = tmp_path / "runs" / "run" / "students"
    assert [p.name for p in students.iterdir()] == ["good"]
    kept, card = checkpoint.load(students / "good" / "ditta")
    assert card.source["adapted"] == {"method": "ditta", "video": "good"}
    assert checkpoint.fingerprint(kept) != checkpoint.fingerprint(new_student(SIZES))
