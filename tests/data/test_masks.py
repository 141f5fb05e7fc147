"""Masks in the forms that people and their tools save."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ditta_jax.data.folder import open_folder
from ditta_jax.data.images import encode_png
from ditta_jax.data.masks import CITYSCAPES_TRAIN_IDS, MaskRules, read_labels, sizes_differ
from ditta_jax.errors import UserError

AREA = "Masks and labels"
PALETTE = ((128, 64, 128), (0, 0, 142), (255, 255, 255))
CLASSES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


def _png(image, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        buffer, options.pop("form", "PNG"), **options
    )
    return buffer.getvalue()


def _colours(labels=CLASSES):
    return np.array(PALETTE, np.uint8)[labels]


@pytest.mark.robustness(AREA, "masks in colour (RGB)", "read by the palette, colour by colour")
def test_colours_of_the_palette():
    rules = MaskRules(palette=PALETTE, num_classes=3)
    np.testing.assert_array_equal(read_labels(_png(_colours()), "m", rules=rules), CLASSES)
    black = _colours()
    black[0, 0] = 0
    labels = read_labels(_png(black), "m", rules=rules)
    assert labels[0, 0] == 255 and (labels.ravel()[1:] == CLASSES.ravel()[1:]).all()


@pytest.mark.robustness(AREA, "a colour that is no class's", "named with its place")
def test_unknown_colours_are_named(said):
    odd = _colours()
    odd[1, 2] = (128, 64, 129)
    with pytest.raises(UserError, match=r"m\.png: \(128, 64, 129\) at row 1, column 2") as error:
        read_labels(_png(odd), "m.png", rules=MaskRules(palette=PALETTE))
    said(str(error.value))
    with pytest.raises(UserError, match=r"m\.png: a mask in colour; give"):
        read_labels(_png(_colours()), "m.png")
    with pytest.raises(UserError, match="two classes' colour"):
        read_labels(_png(_colours()), "m.png", rules=MaskRules(palette=(*PALETTE, PALETTE[1])))


@pytest.mark.robustness(
    AREA, "grey masks saved as RGB", "read as values; refused where they are colours as well"
)
def test_greys_in_rgb(said):
    grey = np.repeat(CLASSES[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_labels(_png(grey), "m"), CLASSES)
    known = MaskRules(palette=PALETTE, num_classes=3)
    with pytest.raises(UserError, match="reads as values and as colours") as error:
        read_labels(_png(np.full((2, 2, 3), 0, np.uint8)), "m", rules=known)
    said(str(error.value))
    as_values = known._replace(reading="values")
    assert (read_labels(_png(np.zeros((2, 2, 3), np.uint8)), "m", rules=as_values) == 0).all()
    white = np.full((2, 2, 3), 255, np.uint8)
    as_colours = known._replace(reading="colours")
    assert (read_labels(_png(white), "m", rules=as_colours) == 2).all()


@pytest.mark.robustness(AREA, "masks of 16 bits", "read; 65535 is ignored")
def test_16_bits():
    values = CLASSES.astype(np.uint16)
    values[0, 0] = 65535
    labels = read_labels(_png(values), "m", rules=MaskRules(num_classes=3))
    assert labels[0, 0] == 255 and (labels.ravel()[1:] == CLASSES.ravel()[1:]).all()
    values[0, 0] = 300
    for classes in (0, 3):
        with pytest.raises(UserError, match="value 300 is no class"):
            read_labels(_png(values), "m", rules=MaskRules(num_classes=classes))
    assert read_labels(_png(values), "m", rules=MaskRules(ignore=(300,)))[0, 0] == 255


@pytest.mark.robustness(AREA, "masks of one bit", "read as the values 0 and 1")
def test_one_bit():
    image = Image.fromarray(CLASSES == 1)
    np.testing.assert_array_equal(read_labels(_png(image), "m"), CLASSES == 1)


@pytest.mark.robustness(AREA, "masks with transparency", "transparent is ignored")
def test_transparency(said):
    alpha = np.full((2, 3), 255, np.uint8)
    image = np.dstack([_colours(), alpha])
    rules = MaskRules(palette=PALETTE)
    np.testing.assert_array_equal(read_labels(_png(image), "m", rules=rules), CLASSES)
    image[0, 0, 3] = 0
    assert read_labels(_png(image), "m", rules=rules)[0, 0] == 255
    grey = np.dstack([CLASSES, alpha])
    np.testing.assert_array_equal(read_labels(_png(Image.fromarray(grey, "LA")), "m"), CLASSES)
    image[0, 0, 3] = 100
    with pytest.raises(UserError, match="half transparent") as error:
        read_labels(_png(image), "m", rules=rules)
    said(str(error.value))


def test_palette_pictures_are_indices_or_by_choice_colours():
    image = Image.fromarray(2 - CLASSES, "P")
    image.putpalette([value for colour in reversed(PALETTE) for value in colour])
    rules = MaskRules(palette=PALETTE, num_classes=3)
    np.testing.assert_array_equal(read_labels(_png(image), "m", rules=rules), 2 - CLASSES)
    as_colours = rules._replace(reading="colours")
    np.testing.assert_array_equal(read_labels(_png(image), "m", rules=as_colours), CLASSES)


@pytest.mark.robustness(AREA, "masks as JPEG or lossy WebP", "refused: values change at edges")
@pytest.mark.parametrize(
    ("form", "options"),
    [("JPEG", {}), ("WEBP", {}), ("TIFF", {"compression": "jpeg"})],
)
def test_lossy_masks(form, options, said):
    data = _png(np.zeros((16, 16, 3), np.uint8), form=form, **options)
    with pytest.raises(UserError, match=r"m\.x: masks must be PNG files, .* changes") as error:
        read_labels(data, "m.x")
    said(str(error.value))


@pytest.mark.parametrize(("form", "options"), [("BMP", {}), ("TIFF", {"compression": "tiff_lzw"})])
def test_other_formats_that_keep_values(form, options):
    np.testing.assert_array_equal(read_labels(_png(CLASSES, form=form, **options), "m"), CLASSES)


@pytest.mark.robustness(
    AREA, "Cityscapes' labelIds", "19 train ids by data.convention, or by the file's name"
)
def test_cityscapes_ids(tmp_path, said):
    ids = np.arange(34, dtype=np.uint8).reshape(2, 17)
    labels = read_labels(_png(ids), "m", rules=MaskRules("cityscapes", num_classes=19))
    expected = [CITYSCAPES_TRAIN_IDS.get(value, 255) for value in range(34)]
    assert labels.ravel().tolist() == expected
    assert sorted(set(expected) - {255}) == list(range(19))
    with pytest.raises(UserError, match="value 40 is no class") as error:
        read_labels(_png(np.array([[40]], np.uint8)), "m", rules=MaskRules("cityscapes"))
    said(str(error.value))
    for name, kind in (("frames", "leftImg8bit"), ("masks", "gtFine_labelIds")):
        (tmp_path / name).mkdir()
        picture = np.zeros((2, 17, 3), np.uint8) if name == "frames" else ids
        (tmp_path / name / f"ulm_000000_000019_{kind}.png").write_bytes(encode_png(picture))
    assert open_folder(tmp_path).labels[0].ravel().tolist() == expected


def test_vspws_stray_values_are_nothing():
    rules = MaskRules("vspw", num_classes=124)
    raw = np.array([[0, 1, 124, 252, 255]], np.uint8)
    assert read_labels(_png(raw), "m", rules=rules).tolist() == [[255, 0, 123, 255, 255]]
    with pytest.raises(UserError, match="value 200 is no class"):
        read_labels(_png(np.array([[200]], np.uint8)), "m", rules=rules)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 65535), min_size=1, max_size=6),
    st.sampled_from(["plain", "vspw", "cityscapes"]),
    st.integers(1, 200),
)
def test_a_label_is_a_class_or_ignored_or_an_error(values, convention, classes):
    raw = np.array([values], np.uint16)
    try:
        labels = read_labels(_png(raw), "m", rules=MaskRules(convention, num_classes=classes))
    except UserError as error:
        assert "is no class" in str(error)
    else:
        assert ((labels < classes) | (labels == 255)).all()


@pytest.mark.robustness(
    AREA, "masks one row off, or turned", "named: how many rows, or which orientation they fit"
)
def test_sizes_in_words(said):
    assert sizes_differ((4, 6), (4, 6), (4, 6)) == ""
    assert sizes_differ((5, 6), (4, 6), (4, 6)).endswith("one row more than its frame")
    assert sizes_differ((4, 5), (4, 6), (4, 6)).endswith("one column less than its frame")
    assert "as stored, not as shown" in said(sizes_differ((4, 6), (6, 4), (4, 6)))
