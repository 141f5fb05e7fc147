import numpy as np
import pytest
from PIL import Image

from ditta_jax.runs.overlays import blend, chosen_frames, write_overlay

CLASSES = ("road", "car", "person")
PALETTE = ((100, 0, 0), (0, 100, 0), (0, 0, 100))


def test_blend_tints_classes_and_leaves_ignored_pixels():
    frame = np.full((1, 3, 3), 50, np.uint8)
    label = np.array([[0, 2, 255]], np.uint8)
    expected = [[[80, 20, 20], [20, 20, 80], [50, 50, 50]]]  # 0.4 frame + 0.6 colour
    np.testing.assert_array_equal(blend(frame, label, PALETTE), expected)


@pytest.mark.parametrize("size", [(48, 64), (180, 960)])
def test_the_picture_has_a_panel_per_map_and_the_colours_of_its_classes(tmp_path, size):
    frame = np.full((*size, 3), 200, np.uint8)
    truth = np.zeros(size, np.uint8)
    predicted = np.full(size, 1, np.uint8)
    path = tmp_path / "v" / "0.png"
    write_overlay(path, frame, {"truth": truth, "DiTTA": predicted}, CLASSES, PALETTE)
    with Image.open(path) as image:
        pixels = np.array(image)
    width = min(size[1], 480)
    assert abs(pixels.shape[1] - 3 * width) <= 24
    present = {tuple(p) for p in pixels.reshape(-1, 3).tolist()}
    assert {(200, 200, 200), (140, 80, 80), (80, 140, 80)} <= present  # frame and blends
    assert {(100, 0, 0), (0, 100, 0)} <= present  # the legend
    assert (0, 0, 100) not in present  # no person in the picture, none in the legend


@pytest.mark.parametrize(
    ("arguments", "frames"),
    [
        ((3, 10, 3), [3, 6, 9]),
        ((3, 5, 4), [3, 4]),
        ((3, 10, 1), [3]),
        ((5, 5, 4), []),
        ((0, 9, 0), []),
    ],
)
def test_chosen_frames(arguments, frames):
    assert chosen_frames(*arguments) == frames
