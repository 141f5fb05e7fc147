"""A real SAM 2 that is small enough for tests."""

import numpy as np
import pytest

from ditta_jax.teacher.cache import read_entry, write_request
from ditta_jax.teacher.identity import embedded_weights
from tests.teacher_bridge.scenes import (
    ListedFrames,
    central_reliability,
    moving_squares,
    request_for,
)


@pytest.fixture(scope="session")
def nano_weights(request):
    """The weights of the embedded teacher; those of its prototype as long as it has none."""
    pytest.importorskip("sam2")
    shipped = embedded_weights()
    if shipped.is_file():
        return shipped
    prototype = request.getfixturevalue("shared_dir") / "prototypes/nano_sam2/nano_fp16.pt"
    if not prototype.is_file():
        pytest.skip(f"no weights of the embedded teacher at {shipped}")
    return prototype


@pytest.fixture
def predictor(nano_weights):
    from teacher_bridge.sam2.predictor import build_predictor

    return build_predictor("embedded", str(nano_weights), "cpu")


@pytest.fixture(scope="session")
def squares_entry(tmp_path_factory):
    """Six frames, a third class that the student sees from frame 3 on: one reset each way."""
    images, labels = moving_squares(6)
    seen = np.where((labels == 2) & (np.arange(6) < 3)[:, None, None], 0, labels)
    request = request_for(seen, central_reliability(seen), 3, video="squares")
    return read_entry(
        write_request(tmp_path_factory.mktemp("cache"), request, ListedFrames(images))
    )
