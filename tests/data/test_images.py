import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from ditta_jax.data.images import decode_frame, encode_jpeg, encode_png
from ditta_jax.data.masks import decode_mask
from ditta_jax.errors import UserError


def _saved(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@settings(max_examples=30, deadline=None)
@given(npst.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_png_frames_come_back_as_they_were(image):
    np.testing.assert_array_equal(decode_frame(encode_png(image), "x"), image)


@settings(max_examples=30, deadline=None)
@given(npst.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_masks_come_back_as_they_were(mask):
    np.testing.assert_array_equal(decode_mask(encode_png(mask), "x"), mask)


def test_jpeg_decodes_as_cv2_imread(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    path = tmp_path / "a.jpg"
    path.write_bytes(encode_jpeg(image))
    expected = cv2.imread(str(path))[..., ::-1]
    np.testing.assert_array_equal(decode_frame(path.read_bytes(), "a"), expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_other_modes_become_rgb(mode):
    colours = Image.fromarray(
        np.random.default_rng(1).integers(0, 256, (8, 9, 3), dtype=np.uint8), "RGB"
    )
    image = colours.convert(mode)
    expected = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(decode_frame(_saved(image, "PNG"), "x"), expected)


def test_palette_mask_gives_indices_whatever_the_colours():
    indices = np.array([[0, 1, 2], [5, 255, 7]], np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    np.testing.assert_array_equal(decode_mask(_saved(image, "PNG"), "m"), indices)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_masks_of_few_bits(bits):
    indices = np.arange(2**bits, dtype=np.uint8).reshape(1, -1)
    image = Image.fromarray(indices, "P")
    image.putpalette(bytes(range(3 * 2**bits)))
    np.testing.assert_array_equal(decode_mask(_saved(image, "PNG", bits=bits), "m"), indices)


def test_grey_mask_of_one_bit_gives_stored_values():
    image = Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1")
    np.testing.assert_array_equal(decode_mask(_saved(image, "PNG"), "m"), [[0, 1, 1]])


@pytest.mark.parametrize("decode", [decode_frame, decode_mask])
def test_damaged_files_are_named(decode):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    whole = encode_png(picture)
    with pytest.raises(UserError, match="d/f.png.*truncated"):
        decode(whole[:-30], "d/f.png")
    with pytest.raises(UserError, match="d/f.png.*empty"):
        decode(b"", "d/f.png")
    with pytest.raises(UserError, match="d/f.png.*neither JPEG nor PNG"):
        decode(b"GIF89a" + whole, "d/f.png")
    broken = bytearray(whole)
    broken[100:2000] = bytes(1900)
    with pytest.raises(UserError, match=r"d/f\.png.*damaged \(checksum\)"):
        decode(bytes(broken), "d/f.png")


def test_truncated_jpeg_is_refused():
    whole = encode_jpeg(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    with pytest.raises(UserError, match=r"f\.jpg.*truncated"):
        decode_frame(whole[: len(whole) // 2], "f.jpg")


def test_wrong_depth_mode_and_size():
    deep = cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes()
    with pytest.raises(UserError, match="16 bits"):
        decode_frame(deep, "f")
    with pytest.raises(UserError, match="16 bits"):
        decode_mask(deep, "m")
    with pytest.raises(UserError, match="a mask in colour"):
        decode_mask(encode_png(np.zeros((4, 4, 3), np.uint8)), "m")
    with pytest.raises(UserError, match=r"4x5.*expected 4x4"):
        decode_frame(encode_png(np.zeros((4, 5, 3), np.uint8)), "f", (4, 4))
    with pytest.raises(UserError, match=r"4x5.*expected 4x4"):
        decode_mask(encode_png(np.zeros((4, 5), np.uint8)), "m", (4, 4))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_give_an_image_or_a_user_error(data, start):
    for decode in (decode_frame, decode_mask):
        for end in (b"", b"IEND", b"\xff\xd9"):
            try:
                assert decode(start + data + end, "x").dtype == np.uint8
            except UserError as error:
                assert "x" in str(error) and "\n" not in str(error)
