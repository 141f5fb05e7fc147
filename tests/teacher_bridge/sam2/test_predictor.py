import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import (
    class_peaks,
    read_entry,
    teacher_key,
    whole_video_request,
    write_request,
)
from ditta_jax.teacher.identity import teacher_identity

torch = pytest.importorskip("torch")
pytest.importorskip("sam2")

from teacher_bridge.benchmark.cell import EncodedFrames  # noqa: E402
from teacher_bridge.sam2.predictor import build_predictor, read_weights, resolve_device  # noqa: E402
from teacher_bridge.sam2.video_predictor import VideoPredictor  # noqa: E402
from teacher_bridge.serving.teachers import Sam2Teacher  # noqa: E402
from tests.teacher_bridge.scenes import ListedFrames, central_reliability, moving_squares  # noqa: E402


def test_weights_of_released_form_and_safetensors_are_read_in_single_precision(tmp_path):
    from safetensors.torch import save_file

    state = {"a": torch.arange(3, dtype=torch.float16), "b": torch.tensor([1, 2])}
    torch.save({"model": state}, tmp_path / "a.pt")
    torch.save(state, tmp_path / "b.pt")
    save_file(state, tmp_path / "c.safetensors")
    for name in ("a.pt", "b.pt", "c.safetensors"):
        read = read_weights(tmp_path / name)
        assert read["a"].dtype == torch.float32 and read["b"].dtype == torch.int64
        assert read["a"].tolist() == [0, 1, 2]


def test_unusable_weights_are_named(tmp_path, nano_weights):
    cut = tmp_path / f"cut{nano_weights.suffix}"
    cut.write_bytes(nano_weights.read_bytes()[:10_000])
    with pytest.raises(UserError, match="cut.*not a whole file"):
        read_weights(cut)
    with pytest.raises(UserError, match="nowhere.pt: no such file"):
        read_weights(tmp_path / "nowhere.pt")
    other = tmp_path / "other.pt"
    torch.save({"model": {"a": torch.zeros(1)}}, other)
    with pytest.raises(UserError, match="other.pt: these weights are not of embedded"):
        build_predictor("embedded", str(other), "cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [("model: [", "not usable"), ("model:\n  _target_: nowhere.Class\n", "not usable")],
)
def test_unusable_configurations_are_named(tmp_path, nano_weights, text, message):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=f"own.yaml: {message}"):
        build_predictor(str(path), str(nano_weights), "cpu")


def test_a_configuration_that_the_package_lacks_is_named(nano_weights):
    with pytest.raises(UserError, match="configs/sam2.1/none.yaml: not usable"):
        build_predictor("configs/sam2.1/none.yaml", str(nano_weights), "cpu")


def test_configurations_of_the_package_are_found(tmp_path, nano_weights):
    # The weights are another model's: that they are the complaint shows that this one was built.
    with pytest.raises(UserError, match="not of configs/sam2.1/sam2.1_hiera_t.yaml"):
        build_predictor("configs/sam2.1/sam2.1_hiera_t.yaml", str(nano_weights), "cpu")


def test_an_own_yaml_file_is_found(tmp_path, nano_weights):
    from importlib.resources import files

    source = files("teacher_bridge") / "nano" / "sam2_nano.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(source.read_text())
    predictor = build_predictor(str(own), str(nano_weights), "cpu")
    assert isinstance(predictor, VideoPredictor) and not predictor.training


@pytest.mark.filterwarnings("ignore:(?s).*Skipping the post-processing step")  # see below
def test_a_predictor_of_another_class_is_driven_by_its_public_interface(
    nano_weights, squares_entry
):
    """The package's own class stands for a fork; the masks are those of the class of this one."""
    target = "sam2.sam2_video_predictor.SAM2VideoPredictor"
    answers = []
    for named in ("", target):
        teacher = Sam2Teacher("embedded", str(nano_weights), "cpu", "float32", 0.0, named)
        teacher.prepare()
        assert type(teacher._predictor).__name__ == (
            "SAM2VideoPredictor" if named else "VideoPredictor"
        )
        answers.append(teacher.answer(squares_entry, lambda t: None))
    ours, forks = answers
    assert ours.provenance["prompts"] == forks.provenance["prompts"]
    for t in range(6):
        (ids, masks), (other_ids, others) = ours.decode(t), forks.decode(t)
        assert np.array_equal(ids, other_ids)
        # This program fills holes without the CUDA extension, the package does not.
        assert (masks & others).sum() >= 0.999 * (masks | others).sum()
    identities = {teacher_key(teacher_identity("embedded", target=t)) for t in ("", target)}
    assert len(identities) == 2


def test_a_whole_video_is_gone_through_once(nano_weights, tmp_path):
    """Each frame is encoded once, and none is kept in case it is needed again."""
    images, labels = moving_squares(6)
    frames = tuple(f"frame{t}" for t in range(6))
    peaks = class_peaks(labels[0], central_reliability(labels)[0])
    request = whole_video_request("whole", frames, labels.shape[1:], 3, peaks)
    entry = read_entry(write_request(tmp_path, request, ListedFrames(images)))
    teacher = Sam2Teacher("embedded", str(nano_weights), "cpu", "float32")
    teacher.prepare()
    encoder, kept = EncodedFrames(teacher._predictor), []
    keep = teacher._predictor._keep

    def count_kept(known, *rest):
        keep(known, *rest)
        kept.append(len(known))

    teacher._predictor._keep = count_kept
    masklets = teacher.answer(entry, lambda t: None)
    assert encoder.count == 6 and max(kept) == 1
    assert len(masklets.frames) == 6 and len(masklets.objects) == 3
    assert any(mask.any() for mask in masklets.decode(5)[1])


@pytest.mark.parametrize("target", ["nowhere.Class", "teacher_bridge.sam2.predictor.Missing"])
def test_a_missing_class_is_named(nano_weights, target):
    with pytest.raises(UserError, match="not usable"):
        build_predictor("embedded", str(nano_weights), "cpu", target)
    with pytest.raises(UserError, match="teacher.target: 'rm -rf', expected a class"):
        teacher_identity("embedded", target="rm -rf")


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda")
    with pytest.raises(UserError, match="teacher.device: 'abacus'"):
        resolve_device("abacus")
