import jax
import numpy as np
from flax import nnx

from ditta_jax.students.layers import Mlp, channel_dropout


def test_channel_dropout_has_its_rate_and_is_drawn_per_frame_and_channel():
    keep = np.asarray(channel_dropout(jax.random.key(0), 200, 300, 0.1))
    assert set(np.unique(keep)) == {0.0, np.float32(1 / 0.9)}
    dropped = keep == 0
    assert abs(dropped.mean() - 0.1) < 0.005
    assert abs(dropped.mean(0) - 0.1).max() < 0.12  # every channel, and every frame, now and then
    assert abs(dropped.mean(1) - 0.1).max() < 0.1
    pairs = (dropped[::2] & dropped[1::2]).mean()
    assert abs(pairs - 0.01) < 0.003  # frames of a clip independently


def test_mlp_is_linear_layers_with_relu_between():
    mlp = Mlp((3, 4, 2), nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (5, 3))
    first, second = mlp.layers
    expected = np.maximum(x @ first.kernel[...] + first.bias[...][None], 0) @ second.kernel[...]
    np.testing.assert_allclose(mlp(x), expected + second.bias[...][None], rtol=0, atol=1e-6)
