import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from ditta_jax.errors import UserError

torch = pytest.importorskip("torch")
pytest.importorskip("sam2")

from teacher_bridge.sam2.frames import EntryFrames  # noqa: E402


def frames_of(folder, images, suffix, size=None, **options):
    files = []
    for t, image in enumerate(images):
        files.append(folder / f"{t}{suffix}")
        Image.fromarray(image).save(files[t], **options)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return EntryFrames(files, digests, size or images[0].shape[:2], 64, torch.device("cpu"))


@pytest.fixture
def images():
    return list(np.random.default_rng(0).integers(0, 256, (3, 45, 70, 3), np.uint8))


def test_tensors_are_those_of_the_loader_of_sam2(tmp_path, images):
    from sam2.utils.misc import load_video_frames

    frames = frames_of(tmp_path, images, ".jpg", quality=95)
    expected, height, width = load_video_frames(
        str(tmp_path), 64, offload_video_to_cpu=True, compute_device=torch.device("cpu")
    )
    assert (height, width) == frames.size and len(frames) == len(expected)
    for t in range(3):
        assert frames[t].dtype == torch.float32
        assert torch.equal(frames[t], expected[t])


def test_png_frames_lose_nothing(tmp_path, images):
    frames = frames_of(tmp_path, images, ".png")
    resized = np.asarray(Image.fromarray(images[1]).resize((64, 64)), np.float64) / 255
    expected = (resized - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(frames[1].permute(1, 2, 0), expected, atol=1e-6)


def test_unusable_frames_are_named(tmp_path, images):
    frames = frames_of(tmp_path, images, ".png", size=(45, 71))
    with pytest.raises(UserError, match="0.png: 45 x 70 pixels, the request says 45 x 71"):
        frames[0]
    data = frames.files[1].read_bytes()
    frames.files[1].write_bytes(data[:-50])
    with pytest.raises(UserError, match="1.png: not the frame of the request"):
        frames[1]
    frames.digests[1] = hashlib.sha256(data[:-50]).hexdigest()
    with pytest.raises(UserError, match="1.png: unreadable frame"):
        frames[1]
    frames.files[2].unlink()
    with pytest.raises(UserError, match="2.png: unreadable frame"):
        frames[2]


def test_decoding_takes_bytes_not_file_names(images):
    # The package's function is called with an open file: this is what it must accept.
    from sam2.utils.misc import _load_img_as_tensor

    target = io.BytesIO()
    Image.fromarray(images[0]).save(target, "PNG")
    target.seek(0)
    image, height, width = _load_img_as_tensor(target, 64)
    assert (image.shape, height, width) == ((3, 64, 64), 45, 70)
