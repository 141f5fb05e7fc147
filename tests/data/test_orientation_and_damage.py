"""Pictures as cameras, copies and cards make them: turned, cut, changed, in any format."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from ditta_jax.data.folder import FolderRules, open_folder
from ditta_jax.data.image_files import read_header
from ditta_jax.data.images import decode_frame, encode_jpeg, encode_png
from ditta_jax.errors import UserError
from ditta_jax.teacher.frame_files import describe_frames, place_frames

AREA = "Frames and videos"
LOSSLESS = {"PNG": {}, "TIFF": {"compression": "tiff_lzw"}, "WEBP": {"lossless": True}, "BMP": {}}


def _picture(seed=0, size=(24, 40)):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return cv2.GaussianBlur(image, (0, 0), 2)


def _saved(image, form, orientation=1, **options):
    picture = Image.fromarray(image)
    if orientation > 1:
        exif = picture.getexif()
        exif[0x0112] = orientation
        options["exif"] = exif
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


# ---------------------------------------------------------------------------- orientation


@pytest.mark.robustness(AREA, "frames with an orientation tag (EXIF 1 to 8)", "shown upright")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_upright(form, orientation, tmp_path):
    options = LOSSLESS.get(form, {"quality": 95})
    data = _saved(_picture(), form, orientation, **options)
    shown = decode_frame(data, "x")
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()  # of TIFF, this turns it already
        expected = np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).max() <= (3 if form == "JPEG" else 0)
    file = tmp_path / "x"
    file.write_bytes(data)
    header = read_header(file)
    assert header.size == shown.shape[:2] and header.orientation == orientation
    assert header.stored == (24, 40)


def test_as_opencv_turns_them(tmp_path):
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.jpg"
        path.write_bytes(_saved(_picture(), "JPEG", orientation))
        expected = cv2.imread(str(path))[..., ::-1]
        np.testing.assert_array_equal(decode_frame(path.read_bytes(), "x"), expected)


def test_a_broken_tag_is_no_reason_to_refuse_a_picture():
    data = _saved(_picture(), "JPEG", 6)
    place = data.index(b"Exif\0\0") + 6
    broken = data[:place] + b"\xff" * 12 + data[place + 12 :]
    assert decode_frame(broken, "x").shape == (24, 40, 3)


def test_the_teacher_reads_the_same_upright_frames(tmp_path):
    """What lies in a request is upright for a reader that knows no orientation."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for index, orientation in enumerate((1, 6, 6, 8)):
        picture = _picture(index, (24, 40) if orientation == 1 else (40, 24))
        (folder / f"{index}.jpg").write_bytes(_saved(picture, "JPEG", orientation))
    (folder / "4.bmp").write_bytes(_saved(_picture(4), "BMP"))
    (folder / "5.tif").write_bytes(_saved(_picture(5, (40, 24)), "TIFF", 5))
    frames = open_folder(folder).frames
    described = describe_frames(frames, 6)
    place_frames(tmp_path / "request", frames, described)
    for index, (name, _) in enumerate(described):
        with Image.open(tmp_path / "request" / name) as picture:
            assert picture.getexif().get(0x0112, 1) == 1
            seen = np.array(picture.convert("RGB"))
        assert np.abs(seen.astype(int) - frames[index]).max() <= 3, name
    linked = (tmp_path / "request" / described[0].name).stat().st_ino
    assert linked == (folder / "0.jpg").stat().st_ino  # upright files are not copied


# ---------------------------------------------------------------------------- formats


@pytest.mark.robustness(
    AREA, "frames as .bmp .tif .tiff .webp .jfif .jpe, upper case too", "read like any other"
)
def test_formats_and_suffixes(tmp_path):
    forms = {
        **{"0.bmp": "BMP", "1.TIF": "TIFF", "2.tiff": "TIFF", "3.webp": "WEBP", "4.PNG": "PNG"},
        **{"5.jfif": "JPEG", "6.jpe": "JPEG", "7.JPEG": "JPEG", "8.JPG": "JPEG"},
    }
    for name, form in forms.items():
        (tmp_path / name).write_bytes(_saved(_picture(), form, **LOSSLESS.get(form, {})))
    video = open_folder(tmp_path)
    assert [video.frames.frame_name(i) for i in range(9)] == list("012345678")
    for index in range(5):
        np.testing.assert_array_equal(video.frames[index], _picture())


@pytest.mark.parametrize("sampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(24, 40), (17, 31), (8, 8), (1, 1)])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_of_all_kinds_decode_as_opencv_decodes(sampling, size, progressive):
    data = _saved(
        _picture(size=size), "JPEG", quality=85, subsampling=sampling, progressive=progressive
    )
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decode_frame(data, "x"), expected)


def test_grey_and_cmyk_jpegs():
    grey = _saved(_picture()[..., 0], "JPEG")
    expected = cv2.imdecode(np.frombuffer(grey, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decode_frame(grey, "x"), expected)
    buffer = io.BytesIO()
    Image.fromarray(_picture()).convert("CMYK").save(buffer, "JPEG")
    assert decode_frame(buffer.getvalue(), "x").shape == (24, 40, 3)


@pytest.mark.robustness(AREA, "several pictures in one file", "refused by name")
def test_several_pictures_in_one_file(said):
    pictures = [Image.fromarray(_picture(seed)) for seed in range(3)]
    for form in ("TIFF", "WEBP"):
        buffer = io.BytesIO()
        pictures[0].save(buffer, form, save_all=True, append_images=pictures[1:])
        with pytest.raises(UserError, match="3 pictures in one file") as error:
            decode_frame(buffer.getvalue(), "stack.tif")
    said(str(error.value))
    buffer = io.BytesIO()
    pictures[0].save(buffer, "PNG", save_all=True, append_images=pictures[1:])
    with pytest.raises(UserError, match="an animation"):
        decode_frame(buffer.getvalue(), "a.png")


def test_more_than_8_bits():
    deep = cv2.imencode(".tif", np.zeros((4, 4, 3), np.uint16))[1].tobytes()
    with pytest.raises(UserError, match="16 bits per value"):
        decode_frame(deep, "f.tif")


# ---------------------------------------------------------------------------- damage


@pytest.mark.robustness(
    AREA, "a JPEG cut in the middle, with or without an end marker", "refused by name"
)
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_cut_jpegs(progressive, share, end, said):
    data = _saved(_picture(size=(120, 200)), "JPEG", progressive=progressive)
    with pytest.raises(UserError, match=r"d/f\.jpg: the image is (truncated|damaged)") as error:
        decode_frame(data[: int(len(data) * share)] + end, "d/f.jpg")
    said(str(error.value))


@pytest.mark.robustness(AREA, "a JPEG with changed bytes", "refused by name where they do not fit")
def test_flipped_bytes_in_jpegs(said):
    """Changed bytes may by chance decode to other pixels; many of them do not."""
    data = _saved(_picture(size=(120, 200)), "JPEG")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(20):
        broken = bytearray(data)
        for place in rng.integers(len(data) // 3, len(data) - 10, 40):
            broken[place] ^= int(rng.integers(1, 256))
        try:
            decode_frame(bytes(broken), "f.jpg")
        except UserError as error:
            assert "damaged" in said(str(error)) or "truncated" in str(error)
            refused += 1
    assert refused >= 18


@pytest.mark.robustness(AREA, "a PNG with one changed byte", "refused by name (checksum)")
def test_any_changed_byte_of_a_png_is_found(said):
    data = encode_png(_picture())
    for place in range(8, len(data), 7):
        broken = bytearray(data)
        broken[place] ^= 1
        with pytest.raises(UserError, match=r"^f\.png: ") as error:
            decode_frame(bytes(broken), "f.png")
    said(str(error.value))


@pytest.mark.robustness(AREA, "a cut BMP, TIFF, WebP or PNG", "refused by name")
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_other_cut_files(form, share, said):
    data = _saved(_picture(size=(60, 80)), form, **LOSSLESS[form])
    with pytest.raises(UserError, match=r"^f\.x: ") as error:
        decode_frame(data[: int(len(data) * share)], "f.x")
    assert "\n" not in said(str(error.value))


def test_bytes_after_the_end_do_no_harm():
    """Phones keep a short video behind a picture."""
    for data in (encode_jpeg(_picture()), encode_png(_picture())):
        np.testing.assert_array_equal(
            decode_frame(data + b"ftypmp42" * 1000, "x"), decode_frame(data, "x")
        )


@pytest.mark.robustness(
    AREA, "damaged frames with data.damaged='keep'", "left out, with a warning in the result"
)
def test_damaged_frames_are_left_out_by_choice(tmp_path, said):
    for index in range(4):
        data = _saved(_picture(index, (120, 200)), "JPEG")
        (tmp_path / f"{index}.jpg").write_bytes(data[:900] if index == 2 else data)
    with pytest.raises(UserError, match=r"2\.jpg: the image is truncated"):
        open_folder(tmp_path).frames[2]
    video = open_folder(tmp_path, FolderRules(damaged="keep"))
    assert [video.frames.frame_name(i) for i in range(3)] == ["0", "1", "3"]
    assert said(video.warnings[0]).startswith("3 of 4 frames are good")
