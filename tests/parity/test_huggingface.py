"""Converted Hugging Face SegFormers compute what `transformers` computes."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ditta_jax import adaptation, convert, inference, precision
from tests.parity import huggingface, stages_ours
from tests.parity.measure import relative_error


def ours(folder, images, dtype):
    """Levels and logits of the converted folder."""
    with stages_ours.arithmetic(dtype):
        student = convert.read_huggingface(folder)[0].student
        nnx.update(student, precision.cast(nnx.state(student), dtype))
        network, graph, encoder = adaptation.split_student(student)
        levels = inference.encode(graph, encoder, network, jnp.asarray(images, dtype))
        decoder = student.decoder
        logits = decoder.classify(decoder.embed(decoder.fuse_levels(levels)))
        return [np.asarray(x) for x in levels], np.asarray(logits)


@pytest.mark.parametrize(("size", "shape"), [("tiny", (2, 96, 64, 3)), ("B0", (1, 64, 96, 3))])
def test_levels_and_logits_in_double_precision(tmp_path, size, shape):
    pytest.importorskip("transformers")
    model = huggingface.random_segformer(size, classes=5, seed=1)
    folder = huggingface.save(model, tmp_path / size)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    there, here = (
        huggingface.features_and_logits(model.double(), images),
        ours(folder, images, "float64"),
    )
    for level, (theirs, mine) in enumerate(zip(there[0], here[0], strict=True), start=1):
        assert relative_error(mine, theirs) < 1e-12, f"level {level}"
    assert relative_error(here[1], there[1]) < 1e-12
    assert np.std(there[1]) > 0.05  # the comparison is not one of zeros
