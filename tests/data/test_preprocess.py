import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditta_jax.data.images import decode_frame
from ditta_jax.data.preprocess import MEAN, STD, input_size, scaled_size, to_input
from ditta_jax.students import sizes


def test_golden_input_exactly(golden):
    meta = json.loads(str(golden["meta"]))
    frame = decode_frame(golden["frame/00001"].tobytes(), "frame 1")
    seen = to_input(frame, tuple(meta["img_scale"]), meta["size_divisor"])
    np.testing.assert_array_equal(seen.transpose(2, 0, 1), golden["clip_input_frame1"])


def _bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Half-pixel bilinear resize in float64, pixel by pixel."""
    height, width = image.shape[:2]
    out = np.empty((*size, 3))
    for i in range(size[0]):
        for j in range(size[1]):
            y = min(max((i + 0.5) * height / size[0] - 0.5, 0), height - 1)
            x = min(max((j + 0.5) * width / size[1] - 0.5, 0), width - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            top = image[y0, x0] * (1 - (x - x0)) + image[y0, x1] * (x - x0)
            bottom = image[y1, x0] * (1 - (x - x0)) + image[y1, x1] * (x - x0)
            out[i, j] = top * (1 - (y - y0)) + bottom * (y - y0)
    return out


@pytest.mark.parametrize(("scale", "size"), [((72, 48), (48, 72)), ((36, 24), (24, 36))])
def test_one_resize_within_one_grey_level_of_a_float_reference(scale, size):
    frame = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    assert scaled_size((32, 48), scale) == input_size((32, 48), scale, 4) == size
    grey = to_input(frame, scale, 4).astype(np.float64) * STD + MEAN
    assert np.abs(grey - _bilinear(frame.astype(np.float64), size)).max() <= 1.0 + 1e-4


def test_two_resizes_within_two_grey_levels_of_a_float_reference():
    frame = np.random.default_rng(0).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    first = _bilinear(frame.astype(np.float64), scaled_size((30, 44), (60, 40)))
    expected = _bilinear(first, input_size((30, 44), (60, 40), 16))
    grey = to_input(frame, (60, 40), 16).astype(np.float64) * STD + MEAN
    assert np.abs(grey - expected).max() <= 2.0


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([(853, 480), (213, 120)]))
def test_sizes_follow_the_rule(height, width, scale):
    factor = min(scale[0] / max(height, width), scale[1] / min(height, width))
    expected = [max(int(x * factor + 0.5), 1) for x in (height, width)]
    assert list(scaled_size((height, width), scale)) == expected
    padded = input_size((height, width), scale, 32)
    for side, before in zip(padded, expected, strict=True):
        assert side % 32 == 0 and 0 <= side - before < 32


def test_known_sizes():
    assert input_size((480, 853)) == (480, 864)
    assert input_size((360, 480)) == (480, 640)
    assert input_size((118, 160), (213, 120), 32) == (128, 192)


def test_no_resize_when_it_fits():
    frame = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    seen = to_input(frame, (64, 32), 32)
    assert seen.dtype == np.float32 and seen.flags.c_contiguous
    np.testing.assert_array_equal(seen, (frame.astype(np.float32) - MEAN) / STD)


def test_both_resizes_are_taken():
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    once = cv2.resize(frame, (64, 32), interpolation=cv2.INTER_LINEAR)
    seen = to_input(frame, (40, 27), 32) * STD + MEAN
    assert seen.shape == (32, 64, 3) and np.abs(seen - once).max() > 1


def test_data_and_students_agree_on_what_is_usual():
    np.testing.assert_array_equal(MEAN, np.array(sizes.MEAN, np.float32))
    np.testing.assert_array_equal(STD, np.array(sizes.STD, np.float32))
