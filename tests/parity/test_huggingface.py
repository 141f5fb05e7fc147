"""Converted Hugging Face SegFormers compute what `transformers` computes."""

import numpy as np
import pytest

from tests.parity import huggingface, stages_ours
from tests.parity.measure import relative_error


@pytest.mark.parametrize(("size", "shape"), [("tiny", (2, 96, 64, 3)), ("B0", (1, 64, 96, 3))])
def test_levels_and_logits_in_double_precision(tmp_path, size, shape):
    pytest.importorskip("transformers")
    model = huggingface.random_segformer(size, classes=5, seed=1)
    folder = huggingface.save(model, tmp_path / size)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    there = huggingface.features_and_logits(model.double(), images)
    here = stages_ours.converted_folder(folder, images, "float64")
    for level, (theirs, mine) in enumerate(zip(there[0], here[0], strict=True), start=1):
        assert relative_error(mine, theirs) < 1e-12, f"level {level}"
    assert relative_error(here[1], there[1]) < 1e-12
    assert np.std(there[1]) > 0.05  # the comparison is not one of zeros
