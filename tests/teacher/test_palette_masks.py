import zlib

import numpy as np
import pytest
from PIL import Image

from ditta_jax.errors import UserError
from ditta_jax.teacher.imported_masks import read_imported_masks
from ditta_jax.teacher.palette_masks import read_palette_masks
from tests.teacher_bridge.scenes import flat_reliability, moving_squares, request_for

_, LABELS = moving_squares(2, (24, 32))
REQUEST = request_for(LABELS, flat_reliability(LABELS), 3)


def write_maps(folder, maps, mode="P"):
    for name, values in zip(REQUEST.frames, maps, strict=True):
        image = Image.fromarray(values)
        if mode == "P":
            image.putpalette(list(range(256)) * 3)
        image.save(folder / f"{name}.png")


@pytest.mark.parametrize("mode", ["P", "L"])
def test_pixel_values_become_objects(tmp_path, mode):
    maps = np.zeros((2, 24, 32), np.uint8)
    maps[0, :5, :9], maps[0, 10:, 20:], maps[1, 3:8] = 38, 255, 255
    write_maps(tmp_path, maps, mode)
    masklets = read_palette_masks(tmp_path, REQUEST)
    assert masklets.objects == (1, 2)
    for t, expected in enumerate([{1: 38, 2: 255}, {2: 255}]):
        ids, masks = masklets.decode(t)
        assert ids.tolist() == list(expected)
        for object_id, mask in zip(ids, masks, strict=True):
            assert np.array_equal(mask, maps[t] == expected[int(object_id)])
    assert np.array_equal(masklets.pixels_per_class, np.bincount(LABELS.ravel(), minlength=3))


def test_frames_without_objects(tmp_path):
    write_maps(tmp_path, np.zeros((2, 24, 32), np.uint8))
    assert read_palette_masks(tmp_path, REQUEST).frames == ((), ())


def test_unusable_files_are_named(tmp_path):
    write_maps(tmp_path, np.zeros((2, 24, 32), np.uint8))
    path = tmp_path / "frame1.png"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="frame1.png: cannot be read"):
        read_palette_masks(tmp_path, REQUEST)
    Image.new("L", (5, 5)).save(path)
    with pytest.raises(UserError, match="frame1.png: size"):
        read_palette_masks(tmp_path, REQUEST)
    Image.new("CMYK", (32, 24)).save(path.with_suffix(".tif"))
    path.unlink()
    with pytest.raises(UserError, match="frame1.tif: CMYK image"):
        read_palette_masks(tmp_path, REQUEST)
    path.with_suffix(".tif").unlink()
    path.touch()
    path.unlink()
    with pytest.raises(UserError, match="frame1.png: no such mask"):
        read_palette_masks(tmp_path, REQUEST)


# --- as trackers and data sets write them --------------------------------------------------------


def two_objects():
    """Masks [object, frame, H, W]: the first on frame 0 only, both overlapping there."""
    masks = np.zeros((2, 2, 24, 32), bool)
    masks[0, 0, 2:9, 3:20] = masks[1, 0, 5:12, 10:30] = masks[1, 1, 6:13, 9:29] = True
    return masks


def assert_are(masklets, masks):
    assert masklets.objects == (1, 2)
    for t in range(2):
        ids, found = masklets.decode(t)
        assert ids.tolist() == [o + 1 for o in range(2) if masks[o, t].any()]
        for object_id, mask in zip(ids, found, strict=True):
            assert np.array_equal(mask, masks[object_id - 1, t])


def save(path, values, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values, mode).save(path)


@pytest.mark.robustness(
    "Teacher and masklets",
    "masks as SAM 2 writes them: a folder per object, `<video>/<object>/<frame>.png`",
    "read, overlaps kept; a frame without a file is one without the object",
)
@pytest.mark.parametrize("value", [1, 255])
def test_a_folder_per_object(tmp_path, value):
    masks = two_objects()
    for o, name in enumerate(("2", "010")):  # in the order of the numbers
        for t, frame in enumerate(REQUEST.frames):
            if masks[o, t].any() or o == 1:
                save(tmp_path / name / f"{frame}.png", masks[o, t].astype(np.uint8) * value)
    assert_are(read_palette_masks(tmp_path, REQUEST), masks)


def test_folders_of_objects_without_any_frame_of_ours_are_named(tmp_path):
    save(tmp_path / "1" / "other.png", np.zeros((24, 32), np.uint8))
    with pytest.raises(UserError, match="1/frame0.png: no such mask of a frame, nor of any other"):
        read_palette_masks(tmp_path, REQUEST)
    save(tmp_path / "1" / "frame1.png", np.zeros((24, 31), np.uint8))
    with pytest.raises(UserError, match="1/frame1.png: size"):
        read_palette_masks(tmp_path, REQUEST)


@pytest.mark.parametrize(
    "names",
    [
        ("frame0_mask.png", "frame1_mask.png"),
        ("frame0.tif", "frame1.bmp"),
        ("frame0-seg.webp", "frame1 masks.png"),
    ],
)
def test_other_names_of_the_same_frame(tmp_path, names):
    maps = two_objects()[1].astype(np.uint8) * 7
    for name, ids in zip(names, maps, strict=True):
        image = Image.fromarray(ids)
        options = {"lossless": True} if name.endswith("webp") else {}
        (image.convert("RGB") if options else image).save(tmp_path / name, **options)
    masklets = read_palette_masks(tmp_path, REQUEST)
    for t in range(2):
        assert np.array_equal(masklets.decode(t)[1][0], maps[t] > 0)


def test_the_same_number_is_the_same_frame(tmp_path):
    request = REQUEST._replace(frames=("00000", "00001"))
    for t, name in enumerate(("0.png", "1_mask.png")):
        save(tmp_path / name, two_objects()[1, t].astype(np.uint8))
    assert len(read_palette_masks(tmp_path, request).objects) == 1
    save(tmp_path / "000.png", np.zeros((24, 32), np.uint8))
    with pytest.raises(UserError, match=r"(000|0)\.png: the same frame as 0+\.png"):
        read_palette_masks(tmp_path, request)


@pytest.mark.robustness(
    "Teacher and masklets",
    "masks of some frames only, one image per frame",
    "the first missing one is named, and how many are",
)
def test_missing_frames_are_named(tmp_path, said):
    save(tmp_path / "frame1.png", np.zeros((24, 32), np.uint8))
    with pytest.raises(
        UserError, match=r"frame0.png: no such mask.*\(1 of 2 are missing\)"
    ) as caught:
        read_palette_masks(tmp_path, REQUEST)
    said(str(caught.value))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_many_objects_have_wide_ids(tmp_path, dtype):
    ids = np.arange(24 * 32, dtype=dtype).reshape(24, 32) // 2  # 383 objects
    ids[0, 5] = 40_000
    for frame in REQUEST.frames:
        save(tmp_path / f"{frame}.{'png' if dtype == np.uint16 else 'tif'}", ids)
    masklets = read_palette_masks(tmp_path, REQUEST)
    assert len(masklets.objects) == 384
    assert masklets.provenance["pixel_values"][-1] == 40_000
    assert np.array_equal(masklets.decode(1)[1][-1], ids == 40_000)


def test_a_palette_that_was_lost_leaves_colours(tmp_path):
    ids = np.zeros((24, 32, 3), np.uint8)
    ids[3:9, 4:9], ids[10:15, 20:30] = (128, 0, 0), (0, 128, 0)
    for frame in REQUEST.frames:
        save(tmp_path / f"{frame}.png", ids)
    masklets = read_palette_masks(tmp_path, REQUEST)
    assert masklets.provenance["pixel_values"] == [128 << 8, 128 << 16]
    assert np.array_equal(masklets.decode(0)[1][1], ids[..., 0] > 0)


def test_a_picture_is_no_mask(tmp_path):
    size = (128, 160)
    request = REQUEST._replace(size=size, frames=("frame0",), peaks=REQUEST.peaks[:1])
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    save(tmp_path / "frame0.png", noise)
    with pytest.raises(UserError, match="different values; these are no object ids"):
        read_palette_masks(tmp_path, request)


def test_an_image_far_too_large_is_not_opened(tmp_path):
    for frame in REQUEST.frames:
        save(tmp_path / f"{frame}.png", np.zeros((24, 32), np.uint8))
    path = tmp_path / "frame1.png"
    header = bytearray(path.read_bytes())
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    path.write_bytes(header)
    with pytest.raises(UserError, match="frame1.png: far larger than the frames"):
        read_palette_masks(tmp_path, REQUEST)


@pytest.mark.parametrize("video", ["../up", "/etc", "..", "a/b", "a\\b"])
def test_names_of_videos_and_frames_lead_nowhere_else(tmp_path, video):
    """Masks beside the folder, which a crafted request's names point at, are not read."""
    for place in (tmp_path / "up", tmp_path / "masks" / "a" / "b", tmp_path / "masks"):
        for frame in REQUEST.frames:
            save(place / f"{frame}.png", np.zeros((24, 32), np.uint8))
    request = REQUEST._replace(video=video)
    with pytest.raises(UserError, match="no masks of video"):
        read_imported_masks(tmp_path / "masks", request)
    frames = REQUEST._replace(video="up", frames=("../up/frame0", str(tmp_path / "up" / "frame1")))
    with pytest.raises(UserError, match="no such mask of a frame"):
        read_imported_masks(tmp_path, frames)
