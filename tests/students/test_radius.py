"""Another window of the fusion, for ablations: the same weights, another attention."""

import jax
import numpy as np
from flax import nnx

from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student, with_radius


def student(radius):
    sizes = (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1
    return new_student(SegFormerConfig(3, *sizes, embed_dim=6, radius=radius))


def test_a_student_with_another_radius_is_one_that_was_made_with_it():
    random = np.random.default_rng(0)
    f, before = random.normal(size=(2, 9, 10, 6)).astype(np.float32)
    z = random.normal(size=(9, 10, 3)).astype(np.float32)
    first = student(1)
    changed = with_radius(first, 3)
    assert changed.config.radius == 3 and first.config.radius == 1
    for own, other in zip(*(jax.tree.leaves(nnx.state(s)) for s in (first, changed)), strict=True):
        np.testing.assert_array_equal(own, other)
    fused = changed.fusion(f, before, z)
    np.testing.assert_array_equal(fused, student(3).fusion(f, before, z))
    assert np.abs(fused - first.fusion(f, before, z)).max() > 1e-3
