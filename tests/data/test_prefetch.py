import threading
import time

import numpy as np
import pytest

from ditta_jax.data.prefetch import ahead, inputs
from ditta_jax.data.preprocess import resized


def _threads() -> int:
    return sum(thread.name == "ditta-prefetch" for thread in threading.enumerate())


def test_order():
    assert list(ahead(lambda: range(50), depth=3)) == list(range(50))
    assert _threads() == 0


def test_the_queue_is_bounded():
    made = []

    def items():
        for i in range(100):
            made.append(i)
            yield i

    stream = ahead(items, depth=2)
    assert next(stream) == 0
    time.sleep(0.3)
    assert len(made) <= 4  # one consumed, two ready, one in hand
    stream.close()
    assert _threads() == 0


def test_an_exception_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise KeyError("third")

    stream = ahead(items)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(KeyError, match="third"):
        next(stream)
    assert _threads() == 0


def test_inputs_are_those_of_the_frames():
    frames = [np.full((8, 8, 3), i, np.uint8) for i in range(5)]
    labels = [np.full((8, 8), i, np.uint8) if i != 2 else None for i in range(5)]
    seen = list(inputs(frames, (16, 16), 8, start=1, stop=4, labels=labels))
    assert [own.index for own in seen] == [1, 2, 3]
    for index, frame, image, truth in seen:
        assert frame is frames[index] and truth is labels[index]
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, resized(frame, (16, 16), 8))
    assert next(inputs(frames)).truth is None
