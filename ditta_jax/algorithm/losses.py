"""Distillation loss (Eq. 5, 8) and reliability (Eq. 2) at source resolution.

Both come from low-resolution logits, without [C, H, W] maps.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from ditta_jax.algorithm.full_resolution import map_rows, resize_columns, row_blocks, sum_over_rows
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
    columns = resize_columns(z, z.shape[1], input_size[1], W)
    blocks = row_blocks((z.shape[0], input_size[0], H), W, z.shape[2])
    pixel_loss = _probabilities_loss if on == "probabilities" else _logits_loss
    return sum_over_rows(pixel_loss, columns, blocks, weight, label)


@jax.custom_vjp
def _probabilities_loss(
    x: Float[Array, "rows C W"], weight: Float[Array, "rows W"], label: UInt8[Array, "rows W"]
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


def _pick(x: Float[Array, "rows C W"], label: UInt8[Array, "rows W"]) -> Float[Array, "rows W"]:
    """x at each pixel's own class, by comparison: a gather's gradient would be a scatter."""
    return jnp.where(_is_own(label, x), x, 0.0).sum(1)


def _is_own(label: UInt8[Array, "rows W"], x: Array) -> Bool[Array, "rows C W"]:
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
    columns = resize_columns(z, z.shape[1], input_size[1], size[1])
    blocks = row_blocks((z.shape[0], input_size[0], size[0]), size[1], z.shape[2])

    def row_entropy(x):
        p = jnp.exp(x - x.max(1, keepdims=True))
        p = p * (1.0 / p.sum(1, keepdims=True))  # one division a pixel
        e = jnp.exp(p)
        total = e.sum(1)
        return jnp.log(total) - (e * p).sum(1) / total

    E = map_rows(row_entropy, columns, blocks)
    low, high = E.min(), E.max()
    # A frame of one single entropy (all black, say) is reliable throughout; released: 0 / 0.
    return 1.0 - (E - low) / jnp.where(high > low, high - low, 1.0)
