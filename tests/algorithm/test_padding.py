import jax.numpy as jnp
import numpy as np

from ditta_jax.algorithm.padding import (
    FRAME_BUCKETS,
    OBJECT_BUCKETS,
    bucket,
    pad_warm_up,
    padded_sizes,
)
from ditta_jax.algorithm.targets import FrameTarget

SIZE = (20, 24)


def test_buckets_hold_what_they_are_for():
    for sizes in (FRAME_BUCKETS, OBJECT_BUCKETS):
        assert sorted(set(sizes)) == list(sizes)
        for n in range(1, 600):
            size = bucket(n, sizes)
            assert size >= n and (size in sizes or size % sizes[-1] == 0)
            assert bucket(size, sizes) == size
    assert len({bucket(n, FRAME_BUCKETS) for n in range(1, 100)}) <= 15


def test_warm_ups_are_padded_to_buckets():
    ids = np.zeros(SIZE, np.uint8)
    ids[:5] = 17
    targets = [FrameTarget(np.full(SIZE, 2, np.uint8), ids), None]
    targets.append(targets[0])
    length, objects = padded_sizes([targets, [None]], least_frames=5)
    assert (length, objects) == (5, 32)
    features = [(jnp.full((3, 4, 2), t),) for t in range(3)]
    warm_up = pad_warm_up(features, targets, SIZE, length, objects)
    assert warm_up.has_target.tolist() == [True, False, True, False, False]
    assert warm_up.features[0][:, 0, 0, 0].tolist() == [0, 1, 2, 2, 2]
    assert warm_up.labels.shape == (5, *SIZE)
    assert (warm_up.labels[1] == 255).all() and (warm_up.labels[3:] == 255).all()
    np.testing.assert_array_equal(warm_up.object_ids[2], ids)
    assert not warm_up.object_ids[3:].any()


def test_a_warm_up_without_any_target_is_padded_too():
    features = [(jnp.zeros((3, 4, 2)),)]
    warm_up = pad_warm_up(features, [None], SIZE, length=2, objects=16)
    assert not warm_up.has_target.any() and (warm_up.labels == 255).all()
