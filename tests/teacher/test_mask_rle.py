import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from ditta_jax.teacher import mask_rle


@st.composite
def masks(draw):
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    share = draw(st.sampled_from([0.0, 0.03, 0.5, 0.97, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 2**32))).random(size) < share


@given(masks())
def test_strings_are_those_of_pycocotools(mask):
    expected = coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    assert mask_rle.encode(mask) == expected
    assert np.array_equal(mask_rle.decode(expected, mask.shape), mask)
    assert mask_rle.area(expected, mask.shape) == mask.sum()


def test_long_runs_take_several_characters():
    mask = np.zeros((900, 1600), bool)
    mask[:, 700:1500] = True
    mask[3, 2] = True
    expected = coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    assert mask_rle.encode(mask) == expected
    assert np.array_equal(mask_rle.decode(expected, mask.shape), mask)


@given(masks(), st.data())
def test_a_changed_string_never_decodes_to_another_size(mask, data):
    counts = list(mask_rle.encode(mask))
    place = data.draw(st.integers(0, len(counts) - 1))
    counts[place] = data.draw(st.characters(max_codepoint=300))
    try:
        decoded = mask_rle.decode("".join(counts), mask.shape)
    except ValueError:
        return
    assert decoded.shape == mask.shape  # a valid string of another mask


@pytest.mark.parametrize("counts", ["", "P", "é", "\n", " ", "1" * 3, "PPPPPPPPPPPP1", None, 7])
def test_damaged_strings_are_refused(counts):
    with pytest.raises(ValueError, match="run lengths"):
        mask_rle.check(counts, (4, 5))


def test_a_string_of_another_size_is_refused():
    with pytest.raises(ValueError, match="4 x 6 pixels"):
        mask_rle.check(mask_rle.encode(np.ones((4, 5), bool)), (4, 6))


def test_only_one_mask_at_a_time():
    with pytest.raises(ValueError, match="expected H W"):
        mask_rle.encode(np.zeros((1, 2, 3), bool))
