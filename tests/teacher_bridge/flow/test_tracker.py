import cv2
import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import read_entry, read_masklets, teacher_key, write_request
from ditta_jax.teacher.identity import teacher_identity
from teacher_bridge.__main__ import main
from teacher_bridge.flow.teacher import FlowTeacher
from teacher_bridge.flow.tracker import FlowTracker, carried, region_at, sources
from tests.teacher_bridge.scenes import ListedFrames, central_reliability, request_for

SIZE = (96, 128)


def textured(seed, size=SIZE):
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2.0)


def scene(frames=4, step=3):
    """A textured red square that moves right over a textured green ground; frames and labels."""
    ground = np.clip(textured(0) * 0.4 + np.array([0, 90, 30]), 0, 255).astype(np.uint8)
    square = np.clip(textured(1) * 0.4 + np.array([120, 0, 0]), 0, 255).astype(np.uint8)
    images, labels = [], np.zeros((frames, *SIZE), np.uint8)
    for t in range(frames):
        left = 20 + step * t
        image = ground.copy()
        image[30:66, left : left + 40] = square[30:66, 20:60]
        labels[t, 30:66, left : left + 40] = 1
        images.append(image)
    return images, labels


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_mask_follows_its_square(reverse):
    images, labels = scene()
    order = range(4)[::-1] if reverse else range(4)
    tracker = FlowTracker(images.__getitem__)
    tracker.mask(order[0], 1, labels[order[0]] == 1)
    for t in order:
        found = tracker.propagate(t, reverse=reverse)
        assert found.ids == (1,)
        assert iou(found.masks[0], labels[t] == 1) > 0.85


def test_a_click_takes_the_region_around_it():
    images, labels = scene()
    region = region_at(images[0], 48, 40)
    assert region[48, 40] and (region & (labels[0] == 0)).sum() < 0.1 * region.sum()


def test_a_click_that_leaks_becomes_a_disc():
    region = region_at(np.full((*SIZE, 3), 90, np.uint8), 50, 60)
    assert region[50, 60] and 16 < region.sum() < 400


def test_a_mask_does_not_trail_behind():
    """Where the square was, there is now ground that the frame before does not show."""
    images, labels = scene(2, step=12)
    moved = carried(labels[0] == 1, *sources(images[0], images[1]))
    assert moved[(labels[0] == 1) & (labels[1] == 0)].mean() < 0.2
    assert moved[labels[1] == 1].mean() > 0.85


def test_what_is_hidden_is_not_sure():
    images, labels = scene(2, step=0)
    hidden = images[1].copy()
    hidden[20:80, 10:70] = textured(7)[20:80, 10:70]  # something else in front of it
    *_, sure = sources(images[0], hidden)
    assert sure[labels[0] == 1].mean() < 0.4
    assert sure[:, 90:].mean() > 0.9
    assert carried(labels[0] == 1, *sources(images[0], hidden))[labels[0] == 1].mean() < 0.4


def test_what_is_nearly_gone_is_gone():
    rows, columns = np.indices(SIZE, np.float32)
    mask = np.zeros(SIZE, bool)
    mask[:3, :3] = True
    assert not carried(mask, columns, rows, np.ones(SIZE, bool)).any()


def test_frames_are_asked_for_in_order():
    images, labels = scene()
    tracker = FlowTracker(images.__getitem__)
    with pytest.raises(ValueError, match="nothing is tracked"):
        tracker.propagate(0)
    tracker.mask(0, 1, labels[0] == 1)
    with pytest.raises(ValueError, match="frame 2 asked for"):
        tracker.propagate(2)


def test_the_flow_teacher_answers_requests(tmp_path, capsys):
    images, labels = scene()
    request = request_for(labels, central_reliability(labels), 2, video="square")
    folder = write_request(tmp_path, request, ListedFrames(images))
    assert main(["--cache", str(tmp_path), "--config", "flow"]) == 0
    masklets = read_masklets(folder, teacher_key(teacher_identity("flow")))
    assert masklets.provenance["teacher"] == "flow" and "opencv" in masklets.provenance
    prompts = masklets.provenance["prompts"]
    (square,) = (p["object_id"] for p in prompts if p["class_id"] == 1 and p["frame"] == 0)
    for t in range(4):
        ids, masks = masklets.decode(t)
        mask = masks[ids.tolist().index(square)]
        assert (mask & (labels[t] == 1)).sum() > 0.9 * mask.sum() > 100


def test_frames_that_are_not_the_requests_are_named(tmp_path):
    images, labels = scene()
    request = request_for(labels, central_reliability(labels), 2)
    entry = read_entry(write_request(tmp_path, request, ListedFrames(images)))
    path = entry.frame_files[1]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="00001.png: not the frame of the request"):
        FlowTeacher().answer(entry, lambda t: None)
    small = request_for(labels[:, :24, :24], central_reliability(labels[:, :24, :24]), 2)
    frames = ListedFrames([image[:24, :24] for image in images])
    with pytest.raises(UserError, match="too small for optical flow"):
        FlowTeacher().answer(read_entry(write_request(tmp_path, small, frames)), lambda t: None)
