"""Convolutions and resizing of ESPNetv2 against torch's, in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.students.espnetv2 import layers, resampling

torch = pytest.importorskip("torch")
F = torch.nn.functional

RANDOM = np.random.default_rng(0)


def first(x):
    """Channels last to torch's order."""
    return torch.from_numpy(np.asarray(x)).permute(0, 3, 1, 2)


def close(ours, theirs):
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1).numpy(), rtol=0, atol=1e-13)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(6, 6, 6), (12, 4, 4), (12, 6, 2)])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 3), (2, 1), (2, 4)])
def test_grouped_convolution_equals_torchs(inputs, outputs, groups, stride, dilation):
    x = RANDOM.normal(size=(2, 8, 10, inputs))
    kernel = RANDOM.normal(size=(3, 3, inputs // groups, outputs))
    weight = torch.from_numpy(kernel.transpose(3, 2, 0, 1))
    theirs = F.conv2d(first(x), weight, None, stride, dilation, dilation, groups)
    close(layers.grouped_3x3(*map(jnp.asarray, (x, kernel)), groups, stride, dilation), theirs)


def test_grouped_pointwise_equals_torchs():
    x, kernel = RANDOM.normal(size=(2, 3, 4, 8)), RANDOM.normal(size=(2, 12))
    theirs = F.conv2d(first(x), torch.from_numpy(kernel.T[:, :, None, None]), groups=4)
    close(layers.grouped_pointwise(jnp.asarray(x), jnp.asarray(kernel), 4), theirs)


def test_average_counts_zeros_around_the_image():
    x = RANDOM.normal(size=(2, 6, 8, 3))
    close(layers.average_3x3(jnp.asarray(x)), F.avg_pool2d(first(x), 3, 2, 1))


@pytest.mark.parametrize("scale", [2.0, 1.5, 0.5, 0.1])
@pytest.mark.parametrize("size", [(7, 12), (2, 9)])
def test_pooled_convolution_equals_its_three_steps(scale, size):
    x, kernel = RANDOM.normal(size=(2, *size, 3)), RANDOM.normal(size=(3, 3, 1, 3))
    inner = tuple(resampling.scaled(n, scale) for n in size)
    aligned = {"mode": "bilinear", "align_corners": True}
    y = F.interpolate(first(x), inner, **aligned) if scale > 1 else None
    y = F.adaptive_avg_pool2d(first(x), inner) if y is None else y
    y = F.conv2d(y, torch.from_numpy(kernel.transpose(3, 2, 0, 1)), padding=1, groups=3)
    y = F.adaptive_avg_pool2d(y, size) if scale > 1 else F.interpolate(y, size, **aligned)
    close(resampling.pooled_convolution(jnp.asarray(x), jnp.asarray(kernel), scale), y)


def test_prelu_starts_at_a_quarter():
    x = jnp.array([[[[-4.0, 8.0]]]])
    np.testing.assert_array_equal(layers.PReLU(2)(x), [[[[-1.0, 8.0]]]])
