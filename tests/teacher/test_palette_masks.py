import numpy as np
import pytest
from PIL import Image

from ditta_jax.errors import UserError
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
    Image.new("RGB", (32, 24)).save(path)
    with pytest.raises(UserError, match="frame1.png: RGB image"):
        read_palette_masks(tmp_path, REQUEST)
    path.unlink()
    with pytest.raises(UserError, match="frame1.png: no such mask"):
        read_palette_masks(tmp_path, REQUEST)
