"""Distillation loss (Eq. 5, 8) and reliability (Eq. 2) at source resolution.

Both come from low-resolution logits, without [C, H, W] maps.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from ditta_jax.algorithm.pixels import map_pixels, resizing, sum_over_pixels
from ditta_jax.labels import IGNORE


@jax.named_scope("cross_entropy")
def cross_entropy(
    z: Float[Array, "h w C"],
    label: UInt8[Array, "H W"],
    input_size: tuple[int, int],
    on: str = "probabilities",
) -> Float[Array, ""]:
    """Cross entropy of resized logits, summed over pixels and divided by H·W.

    With p = softmax(Up(z)), the loss of a pixel with label y is log Σ_c exp(p_c) − p_y: the
    released program applies log-softmax to probabilities, and so do we by default.

    Args:
        z: logits of one branch.
        label: class per pixel; 255 counts zero.
        input_size: (Hi, Wi): logits go h×w → Hi×Wi → H×W.
        on: "probabilities", or "logits" for −log p_y.
    """
    H, W = label.shape
    weight = jnp.where(label == IGNORE, 0.0, 1.0 / (H * W)).astype(z.dtype)
    pixel_loss = _probabilities_loss if on == "probabilities" else _logits_loss
    return sum_over_pixels(pixel_loss, z, resizing(z, input_size, (H, W)), weight, label)


@jax.custom_vjp
def _probabilities_loss(
    x: Float[Array, "a C b"], weight: Float[Array, "a b"], label: UInt8[Array, "a b"]
) -> Float[Array, ""]:
    """Σ w (log Σ_c exp(p_c) − p_y) with p = softmax(x), and its gradient in closed form.

    With q = exp(p), S = Σ q and A = Σ q p, the gradient in x is
    p (q w/S − w [c = y] − w (A/S − p_y)): no division and no exponential that the value did not
    need, where differentiating step by step would take some of them twice.
    """
    return _probabilities_forward(x, weight, label)[0]


def _probabilities_forward(x, weight, label):
    e = jnp.exp(x - x.max(1, keepdims=True))
    p = e * (1.0 / e.sum(1, keepdims=True))
    q = jnp.exp(p)  # p lies in [0, 1]: its log-sum-exp needs no maximum
    S, A, own = q.sum(1), (q * p).sum(1), _is_own(label, p)
    p_own = jnp.where(own, p, 0.0).sum(1)
    loss = jnp.log(S) - p_own
    share = weight / S
    rest = share * A - weight * p_own
    d_x = p * (q * share[:, None] - jnp.where(own, weight[:, None], 0.0) - rest[:, None])
    return (weight * loss).sum(), (d_x, loss)


def _probabilities_backward(residuals, cotangent):
    d_x, d_weight = residuals
    return cotangent * d_x, cotangent * d_weight, None


_probabilities_loss.defvjp(_probabilities_forward, _probabilities_backward)


def _logits_loss(x, weight, label):
    return (weight * (jax.nn.logsumexp(x, axis=1) - _pick(x, label))).sum()


def _pick(x: Float[Array, "a C b"], label: UInt8[Array, "a b"]) -> Float[Array, "a b"]:
    """x at each pixel's own class, by comparison: a gather's gradient would be a scatter."""
    return jnp.where(_is_own(label, x), x, 0.0).sum(1)


def _is_own(label: UInt8[Array, "a b"], x: Array) -> Bool[Array, "a C b"]:
    return label[:, None] == jnp.arange(x.shape[1], dtype=label.dtype)[None, :, None]


@jax.named_scope("reliability")
def momentum_reliability(
    z: Float[Array, "h w C"], size: tuple[int, int], input_size: tuple[int, int]
) -> Float[Array, "H W"]:
    """Reliability map ρ of the contrastive loss, in [0, 1].

    1 − the entropy of softmax(p̄), min–max normalised over the frame; p̄ are the momentum
    network's probabilities, so softmax is applied twice here too. With s = softmax(p̄) the
    entropy is log Σ exp(p̄_c) − Σ s_c p̄_c.
    """

    def entropy(x):
        p = jnp.exp(x - x.max(1, keepdims=True))
        p = p * (1.0 / p.sum(1, keepdims=True))  # one division a pixel
        e = jnp.exp(p)
        total = e.sum(1)
        return jnp.log(total) - (e * p).sum(1) / total

    E = map_pixels(entropy, (z,), resizing(z, input_size, size))
    low, high = E.min(), E.max()
    # A frame of one single entropy (all black, say) is reliable throughout; released: 0 / 0.
    return 1.0 - (E - low) / jnp.where(high > low, high - low, 1.0)
