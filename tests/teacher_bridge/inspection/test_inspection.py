import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ditta_jax.errors import UserError
from ditta_jax.files import parse_json, seal, unseal
from ditta_jax.teacher.cache import masklets_path, read_entry, write_masklets, write_request
from teacher_bridge.inspection.__main__ import main
from teacher_bridge.inspection.answers import read_answer
from teacher_bridge.inspection.pictures import colour, drawn
from teacher_bridge.search.tracks import find_masklets
from tests.teacher_bridge.scenes import (
    ListedFrames,
    ScriptedTracker,
    central_reliability,
    moving_squares,
    request_for,
)

REPOSITORY = Path(__file__).resolve().parents[3]
IMAGES, LABELS = moving_squares(4, (48, 65))  # an odd width: H.264 wants even ones


@pytest.fixture
def entry(tmp_path):
    """The second square is prompted on frame 2 only, and its mask there is wide by two pixels."""
    seen = LABELS.copy()
    seen[:2][seen[:2] == 2] = 0
    request = request_for(seen, central_reliability(seen), 3, video="squares")
    folder = write_request(tmp_path / "cache", request, ListedFrames(IMAGES))
    wide = LABELS.copy()
    wide[2][cv2.dilate((LABELS[2] == 2).astype(np.uint8), np.ones((5, 5))) > 0] = 2
    write_masklets(folder, "ab" * 32, find_masklets(ScriptedTracker(wide), request))
    return folder


def truth_of(folder, values):
    folder.mkdir()
    for t, one in enumerate(values):
        Image.fromarray(one.astype(np.uint8)).save(folder / f"frame{t}.png")
    return str(folder)


def test_a_sheet_and_a_video(entry, tmp_path, capsys):
    out = tmp_path / "out"
    (tmp_path / "classes.txt").write_text("ground\nred\nblue\n")
    arguments = ["inspect", str(entry), "--out", str(out), "--columns", "2"]
    assert main([*arguments, "--classes", str(tmp_path / "classes.txt")]) == 0
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (2 * (65 + 4), 2 * (48 + 4))
    import av

    with av.open(str(out / "masks.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 4 and frames[0].shape == (48, 64, 3)
    assert "3 objects" in capsys.readouterr().out
    assert main([*arguments, "--no-video"]) == 0  # its own files may be replaced


def test_masks_have_their_colour_and_prompts_a_cross(entry):
    answer = read_answer(entry)
    picture = drawn(answer, 2, {})
    ids, masks = answer.masklets.decode(2)
    (click,) = answer.prompts(2)
    assert (click["class_id"], click["object_id"]) == (2, 3)
    plain = IMAGES[2].astype(int)
    for object_id, mask in zip(ids.tolist(), masks, strict=True):
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3))).astype(bool)
        expected = 0.55 * plain[inner] + 0.45 * np.array(colour(object_id))
        close = np.abs(picture[inner] - expected).max(-1) <= 1
        assert close.mean() > 0.5  # the rest is under the name and the cross
    assert (picture[click["y"], click["x"]] == colour(3)).all()


def test_foreign_folders_are_not_written_into(entry, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="mine: holds other files"):
        main(["inspect", str(entry), "--out", str(tmp_path / "mine")])
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_figures_replace_earlier_figures_only(entry, tmp_path):
    truth = truth_of(tmp_path / "truth", LABELS)
    for name, text in (("list.json", "[1]"), ("settings.json", '{"a": 1}'), ("mine.txt", "x")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=f"{name}: exists, and this program did not write it"):
            main(["quality", str(entry), "--truth", truth, "--out", str(tmp_path / name)])
        assert (tmp_path / name).read_text() == text
    for _ in range(2):
        assert main(["quality", str(entry), "--truth", truth, "--out", str(tmp_path / "q")]) == 0


def test_quality_against_objects(entry, tmp_path, capsys):
    truth = truth_of(tmp_path / "truth", LABELS)
    assert main(["quality", str(entry), "--truth", truth, "--out", str(tmp_path / "q.json")]) == 0
    report = json.loads((tmp_path / "q.json").read_text())
    of = {one["id"]: one for one in report["objects"]}
    red, blue = of[1 if of[1]["in truth"] == 1 else 2], of[3]
    assert (red["in truth"], red["start"]) == (1, 0)
    assert (blue["in truth"], blue["start"]) == (2, 2)
    by_age = {row["frames"]: row for row in report["iou by frames since the prompt"]}
    assert set(by_age) == {-2, -1, 0, 1, 2, 3}
    assert by_age[-1] == {"frames": -1, "iou": 1.0, "objects": 1}
    square = (LABELS[2] == 2).sum()
    wide = cv2.dilate((LABELS[2] == 2).astype(np.uint8), np.ones((5, 5))).sum()
    expected = np.mean([1.0, square / wide])
    # The ground is no object of this truth: its track is prompted on no region.
    assert [one["in truth"] for one in report["objects"]].count(None) == 1
    assert by_age[0]["objects"] == 3 and abs(by_age[0]["iou"] * 3 - expected * 2) < 1e-3
    assert "prompted on no region of the truth" in capsys.readouterr().out


def test_quality_against_classes(entry, tmp_path):
    truth = LABELS.copy()
    truth[:, 0] = 255
    folder = truth_of(tmp_path / "truth", truth)
    out = str(tmp_path / "q.json")
    main(["quality", str(entry), "--truth", folder, "--truth-is", "classes", "--out", out])
    labels = json.loads(Path(out).read_text())["labels"]
    wide = cv2.dilate((LABELS[2] == 2).astype(np.uint8), np.ones((5, 5))).astype(bool)
    leaked = (wide & (LABELS[2] == 0)).sum()
    assert labels["pixels"] == (truth != 255).sum()
    assert labels["purity"] == pytest.approx(1 - leaked / labels["pixels"])
    assert labels["as_prompted"] == pytest.approx(labels["purity"])


def test_where_nothing_is_labelled_there_is_no_share(entry, tmp_path, capsys):
    folder, out = truth_of(tmp_path / "truth", np.full_like(LABELS, 255)), tmp_path / "q.json"
    main(["quality", str(entry), "--truth", folder, "--truth-is", "classes", "--out", str(out)])
    assert parse_json(out.read_bytes())["labels"] == {
        "pixels": 0,
        "purity": None,
        "as_prompted": None,
    }
    assert "nan" not in capsys.readouterr().out


@pytest.mark.robustness(
    "Teacher and masklets",
    "the answer of a teacher of one's own whose provenance lists its clicks in another way",
    "shown and measured without clicks",
)
@pytest.mark.parametrize("prompts", [[{"frame": 0}], [{"frame": "0", "object_id": 1}], "none", [7]])
def test_clicks_of_another_form_are_left_out(entry, tmp_path, prompts):
    (path,) = entry.glob("masklets-*.json")
    content = unseal(path.read_bytes())
    path.write_bytes(seal(content | {"provenance": content["provenance"] | {"prompts": prompts}}))
    truth = truth_of(tmp_path / "truth", LABELS)
    main(["inspect", str(entry), "--no-video", "--out", str(tmp_path / "out")])
    main(["quality", str(entry), "--truth", truth, "--truth-is", "classes"])
    assert read_answer(entry).prompts(0) == []


@pytest.mark.parametrize("votes", ['{"1": 3.7}', '{"1": true}', '{"a": 1}', "[1]", '{"1": "2"}'])
def test_votes_are_whole_numbers(entry, tmp_path, votes):
    (tmp_path / "votes.json").write_text(votes)
    with pytest.raises(UserError, match="expected JSON such as"):
        main(["inspect", str(entry), "--votes", str(tmp_path / "votes.json")])


def test_one_of_several_answers_is_chosen(entry):
    request = read_entry(entry).request
    write_masklets(entry, "cd" * 32, find_masklets(ScriptedTracker(LABELS), request))
    with pytest.raises(UserError, match=r"choose by --teacher: abab\w+, cdcd"):
        read_answer(entry)
    assert read_answer(entry, "cd").key == "cd" * 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quality", "ENTRY", "--truth", "nowhere"], "nowhere: cannot be read"),
        (["inspect", "ENTRY", "--votes", "nowhere"], "--votes: nowhere: cannot be read"),
        (["inspect", "ENTRY", "--classes", "nowhere"], "--classes: nowhere"),
        (["inspect", "ENTRY", "--classes", "/dev/zero"], "too large for a list of names"),
        (["inspect", "ENTRY", "--teacher", "99"], r"no answer of --teacher '99'; there are: abab"),
        (["inspect", "ENTRY", "--teacher", "*"], r"no answer of --teacher '\*'"),
        (["inspect", "ENTRY", "--out", "/dev/null/x"], "/dev/null is a file and not a folder"),
        (["inspect", "nowhere"], "nowhere/request.json: cannot be read"),
    ],
)
def test_what_is_not_there_is_named(entry, arguments, message):
    with pytest.raises(UserError, match=message):
        main([str(entry) if word == "ENTRY" else word for word in arguments])


def test_damaged_answers_are_named(entry):
    path = masklets_path(entry, "ab" * 32)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="damaged"):
        read_answer(entry)


def test_the_command_line_knows_the_commands(tmp_path):
    command = [sys.executable, "-m", "teacher_bridge", "quality", "nowhere", "--truth", "x"]
    done = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: nowhere/request.json: cannot be read")
