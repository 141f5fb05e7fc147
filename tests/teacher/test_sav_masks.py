import json

import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.imported_masks import read_imported_masks
from tests.teacher_bridge.scenes import flat_reliability, moving_squares, request_for

SIZE = (24, 32)
_, LABELS = moving_squares(8, SIZE)
REQUEST = request_for(LABELS, flat_reliability(LABELS), 3, video="sav_000001")


def rle(mask, plain=False):
    counts = mask_rle.encode(mask)
    if plain:
        flat = np.ravel(mask, order="F").astype(int)
        changes = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
        counts = [0] * int(flat[0]) + np.diff(changes).tolist()
    return {"size": list(SIZE), "counts": counts}


def content(step, plain=False, **values):
    """Two masklets, the first of which ends after frame 0, as SA-V has them."""
    frames = []
    for t in range(0, 8, step):
        first = LABELS[t] == 1 if t == 0 else np.zeros(SIZE, bool)
        frames.append([rle(first, plain), rle(LABELS[t] == 2, plain)])
    count = {"video_frame_count": 8.0} if step > 1 else {}
    return {"video_id": "x", "masklet": frames, "masklet_id": [5, 9], **count, **values}


def write(path, values):
    path.write_text(json.dumps(values))
    return path


@pytest.mark.robustness(
    "Teacher and masklets",
    "masks in the JSON of SA-V (every fourth frame)",
    "read; frames in between have no objects, and the provenance says so",
)
@pytest.mark.parametrize("step", [1, 4])
@pytest.mark.parametrize("plain", [False, True])
def test_masklets_of_sav(tmp_path, step, plain):
    write(tmp_path / "sav_000001_manual.json", content(step, plain))
    masklets = read_imported_masks(tmp_path, REQUEST)
    assert masklets.objects == (1, 2) and masklets.provenance["masklet_id"] == [5, 9]
    assert masklets.provenance["one frame in"] == step
    for t in range(8):
        ids, masks = masklets.decode(t)
        expected = {1: LABELS[t] == 1} if t == 0 else {}
        if t % step == 0:
            expected[2] = LABELS[t] == 2
        assert ids.tolist() == list(expected)
        for object_id, mask in zip(ids, masks, strict=True):
            assert np.array_equal(mask, expected[object_id])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"masklet": None}, "masklet must be a list"),
        ({"masklet": []}, "masklet must be a list"),
        ({"masklet": content(1)["masklet"][:3]}, "masks of 3 frames, one in 1; 8 are asked for"),
        ({"masklet": [[{"size": [24, 31], "counts": "0"}]] * 8}, "masks of size"),
        ({"masklet": [[{"size": [10**30, 1], "counts": "0"}]] * 8}, "a side must be"),
        ({"masklet": [[{"size": [24, 32], "counts": [10**30]}]] * 8}, "run lengths"),
        ({"masklet": [[{"size": [24, 32], "counts": [-1, 769]}]] * 8}, "run lengths"),
        ({"masklet": [[{"size": [24, 32], "counts": 5}]] * 8}, "run lengths"),
        ({"masklet": [[{"size": [24, 32]}]] * 8}, "no 'counts'"),
        ({"masklet": [[7]] * 8}, "a mask must be a mapping"),
        ({"video_frame_count": True}, "video_frame_count must be a number"),
        ({"video_frame_count": 10**400}, "video_frame_count must be a number"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, values, message):
    path = write(tmp_path / "sav_000001.json", content(1, **values))
    with pytest.raises(UserError, match="sav_000001.json: .*" + message):
        read_imported_masks(tmp_path, REQUEST)
    assert path.is_file()


@pytest.mark.parametrize("text", ["", "[" * 200_000, "[]", '{"masklet": NaN}', "{}"])
def test_what_is_no_json_of_sav_is_named(tmp_path, text):
    (tmp_path / "sav_000001_auto.json").write_text(text)
    with pytest.raises(UserError, match="sav_000001_auto.json: "):
        read_imported_masks(tmp_path, REQUEST)


def test_no_masks_of_a_video_name_the_forms(tmp_path):
    with pytest.raises(UserError, match="no masks of video 'sav_000001'; expected <video>/<frame>"):
        read_imported_masks(tmp_path, REQUEST)
