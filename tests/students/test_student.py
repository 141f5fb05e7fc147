import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ditta_jax.students.fusion import TemporalFusion
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import abstract_student, fill, new_student
from tests.students.dense_attention import dense_attention

TINY = SegFormerConfig(3, (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 2, 2), (4, 2, 2, 1), 2, embed_dim=6)


def flat(student):
    return {
        "/".join(map(str, path)): np.asarray(value.get_value())
        for path, value in nnx.to_flat_state(nnx.state(student))
    }


def digest(student):
    joined = b"".join(
        key.encode() + value.tobytes() for key, value in sorted(flat(student).items())
    )
    return hashlib.sha256(joined).hexdigest()


def test_weights_are_a_function_of_seed_and_name():
    assert digest(new_student(TINY, 3)) == digest(new_student(TINY, 3))
    first, other = flat(new_student(TINY, 3)), flat(new_student(TINY, 4))
    drawn = {k for k, v in first.items() if np.unique(v).size > 2}
    assert len(drawn) > 20
    assert all((first[k] != other[k]).mean() > 0.9 for k in drawn)
    # A larger classifier changes no other weight.
    more = flat(new_student(dataclasses.replace(TINY, num_classes=9), 3))
    assert {k for k in first if not np.array_equal(first[k], more[k])} == {
        "decoder/classifier/kernel",
        "decoder/classifier/bias",
    }


def test_distributions_of_fresh_weights():
    config = dataclasses.replace(TINY, channels=(32, 32, 64, 64), embed_dim=64)
    weights = flat(new_student(config))
    for name, value in weights.items():
        kind = name.rpartition("/")[2]
        if kind in ("scale", "var"):
            assert (value == 1).all(), name
        elif kind == "mean" or (name.startswith("encoder") and kind == "bias"):
            assert (value == 0).all(), name
    linear = weights["encoder/stages/3/blocks/0/mlp/fc1/kernel"]
    assert abs(linear.std() - 0.02) < 0.002 and abs(linear).max() <= 0.04
    patch = weights["encoder/stages/1/patch_embed/proj/kernel"]
    assert abs(patch.std() - np.sqrt(2 / (9 * 32))) < 0.005
    depthwise = weights["encoder/stages/3/blocks/0/mlp/dwconv/kernel"]
    assert abs(depthwise.std() - np.sqrt(2 / 9)) < 0.03
    bound = 1 / np.sqrt(64)
    for name in ("fusion/query/layers/0/kernel", "fusion/query/layers/0/bias"):
        assert abs(weights[name]).max() <= bound and abs(weights[name]).max() > 0.9 * bound
    assert abs(weights["decoder/fuse/kernel"]).max() <= 1 / np.sqrt(4 * 64)


def test_an_abstract_student_has_no_weights_and_can_be_filled():
    student = abstract_student(TINY)
    leaves = jax.tree.leaves(nnx.state(student))
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    source = new_student(TINY, 1)
    fill(student, nnx.to_pure_dict(nnx.state(source)))
    assert digest(student) == digest(source)


def test_fusion_attends_to_the_previous_frame_only_within_its_window():
    config = SegFormerConfig(2, embed_dim=4, radius=1)
    fusion = TemporalFusion(config, nnx.Rngs(0))
    random = np.random.default_rng(0)
    f, before = (jnp.asarray(random.normal(size=(5, 6, 4)), jnp.float32) for _ in range(2))
    z = jnp.asarray(random.normal(size=(5, 6, 2)), jnp.float32)
    out = fusion(f, before, z)
    q, k = np.asarray(fusion.query(f)), np.asarray(fusion.key(before))
    weight = np.exp([k[y, x] @ q[0, 2] for y in (0, 1) for x in (1, 2, 3)])  # a corner-less window
    values = np.stack([z[y, x] for y in (0, 1) for x in (1, 2, 3)])
    np.testing.assert_allclose(out[0, 2], weight @ values / weight.sum(), rtol=0, atol=1e-5)


def test_folded_query_and_key_give_the_value_and_gradient_of_the_layers_one_by_one():
    with jax.enable_x64(True):
        fusion = TemporalFusion(SegFormerConfig(3, embed_dim=8, radius=2), nnx.Rngs(0))
        graph, params = nnx.split(fusion)
        random = np.random.default_rng(0)
        params = jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape)), params)
        f, before = (jnp.asarray(random.normal(size=(6, 7, 8))) for _ in range(2))
        z, share = (jnp.asarray(random.normal(size=(6, 7, 3))) for _ in range(2))

        def folded(params, f, before):
            return (share * nnx.merge(graph, params)(f, before, z)).sum()

        def direct(params, f, before):
            fusion = nnx.merge(graph, params)
            return (share * dense_attention(fusion.query(f), fusion.key(before), z, 2)).sum()

        found, expected = (
            jax.value_and_grad(program, argnums=(0, 1, 2))(params, f, before)
            for program in (folded, direct)
        )
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


def test_a_students_own_normalisation_is_used():
    own = dataclasses.replace(TINY, mean=(127.5, 100.0, 80.0), std=(60.0, 61.5, 50.25))
    plain, other = new_student(TINY, 3), new_student(own, 3)
    grey = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3))
    usual, needed = (
        jnp.asarray((grey - np.array(c.mean)) / np.array(c.std), jnp.float32) for c in (TINY, own)
    )
    for found, expected in zip(other.encode(usual), plain.encode(needed), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    assert not np.allclose(plain.encode(usual)[0], plain.encode(needed)[0], atol=0.05)
    coarse = other._renormalised(usual.astype(jnp.bfloat16))
    assert coarse.dtype == jnp.bfloat16
    np.testing.assert_allclose(coarse.astype(jnp.float32), needed, atol=0.03)
