import threading

import numpy as np
import pytest
from PIL import Image

from ditta_jax.errors import UserError
from ditta_jax.runs import predictions
from ditta_jax.runs.predictions import PredictionWriter

PALETTE = ((128, 64, 128), (0, 0, 142))


def test_written_maps_read_back_with_their_colours(tmp_path):
    random = np.random.default_rng(0)
    maps = random.integers(0, 2, (40, 6, 7)).astype(np.uint8)
    buffer = np.empty_like(maps[0])
    with PredictionWriter(tmp_path / "v", PALETTE) as writer:
        for t, label in enumerate(maps):
            buffer[:] = label
            writer.write(f"{t:05d}", buffer)
    assert len(list((tmp_path / "v").iterdir())) == len(maps)
    for t, label in enumerate(maps):
        with Image.open(tmp_path / "v" / f"{t:05d}.png") as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.array(image), label)
            colours = np.array(image.convert("RGB"))
        np.testing.assert_array_equal(colours, np.array(PALETTE, np.uint8)[label])


def test_a_failed_write_is_reported(tmp_path):
    (tmp_path / "v").write_text("a file where the folder should be")
    writer = PredictionWriter(tmp_path / "v", PALETTE)
    with pytest.raises(UserError, match="v is a file and not a folder; move it away"), writer:
        writer.write("0", np.zeros((2, 2), np.uint8))


def test_waiting_frames_are_bounded(tmp_path, monkeypatch):
    gate, started = threading.Event(), []

    def slow_write(path, data):
        started.append(path)
        assert gate.wait(30)

    monkeypatch.setattr(predictions, "write_whole", slow_write)
    monkeypatch.setattr(predictions, "_WAITING", 3)
    handed_over = []

    def produce():
        with PredictionWriter(tmp_path, PALETTE) as writer:
            for t in range(6):
                writer.write(str(t), np.zeros((1, 1), np.uint8))
                handed_over.append(t)

    producer = threading.Thread(target=produce)
    producer.start()
    producer.join(0.3)
    assert producer.is_alive()
    assert len(handed_over) <= 3
    gate.set()
    producer.join(30)
    assert len(started) == 6


def test_an_error_outside_does_not_wait_for_the_queue(tmp_path):
    with pytest.raises(KeyError), PredictionWriter(tmp_path, PALETTE) as writer:
        writer.write("0", np.zeros((2, 2), np.uint8))
        raise KeyError("the network failed")
