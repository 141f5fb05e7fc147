"""Contrastive loss against object prototypes (Eq. 6, 7), from low-resolution projections.

It is taken at source resolution, but nothing of D channels is ever upsampled.

With Up the bilinear resizing h×w → H×W and unit vectors u:
    ⟨Up(u), proto⟩ = Up(⟨u, proto⟩)                          (`similarities`)
    ‖Up(u)‖² = Up(‖u‖²) − Σ_{i<j} w_i w_j ‖u_i − u_j‖²       (`upsampled_norm`)
    Σ_p a(p) Up(ū)(p) = Σ_q Upᵀ(a)(q) ū(q)                   (`object_prototypes`)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ditta_jax.algorithm.full_resolution import resize_columns, row_blocks, transpose_rows
from ditta_jax.algorithm.pixels import resizing, sum_over_pixels
from ditta_jax.students.resize_matrices import chain
from ditta_jax.students.wide import FULL

NORM_FLOOR = 1e-12  # torch's F.normalize divides by max(‖x‖, 1e-12)
ABSENT = -1e30  # similarity of an object that the frame does not show


class Prototypes(NamedTuple):
    """Prototype memory of a video.

    Attributes:
        vectors: Float[Array, "O D"], unit length where seen.
        seen: Bool[Array, "O"].
    """

    vectors: Float[Array, "O D"]
    seen: Bool[Array, " O"]


def normalise(x: Float[Array, "*b D"]) -> Float[Array, "*b D"]:
    """x / max(‖x‖, 1e-12) over the last axis, with a gradient at 0."""
    squared = (x * x).sum(-1, keepdims=True)
    safe = jnp.maximum(squared, NORM_FLOOR**2)
    return x / jnp.sqrt(safe)


@jax.named_scope("upsampled_norm")
def upsampled_norm(u: Float[Array, "h w D"], size: tuple[int, int]) -> Float[Array, "H W"]:
    """‖Up(u)‖ without Up(u), from differences of neighbours.

    For weights that sum to 1, ‖Σ w_i u_i‖² = Σ w_i ‖u_i‖² − Σ_{i<j} w_i w_j ‖u_i − u_j‖². The
    usual form, in inner products, cancels where neighbours are nearly parallel; this one does not.

    Linear in the low-resolution distances: products with matrices of weights, so that the gradient
    is one too. A gather's would be a scatter, in no certain order on GPUs and slow on TPUs.
    """
    below, right = _next(u, 0), _next(u, 1)
    below_right = _next(below, 1)

    def apart(x, y):
        return ((x - y) ** 2).sum(-1)

    # Columns. A row's own pair of neighbours; then the four pairs that join a row with the next
    # one, less both rows' own: ‖Σ‖² over a row pair = (1−s) along + s next_along − s(1−s) gap, gap
    # being the squared distance of the two rows' means.
    low, share = _taps(u.shape[1], size[1])
    keep, take = 1 - share, share
    beside = apart(u, right)
    along = _resized(
        [((u * u).sum(-1), chain(u.shape[1], size[1])), (beside, _picked(low, -keep * take, u, 1))]
    )
    pairs = apart(u, below_right) + apart(right, below) - beside - _next(beside, 0)
    gap = _resized(
        [
            (apart(u, below), _picked(low, keep * keep, u, 1)),
            (apart(right, below_right), _picked(low, take * take, u, 1)),
            (pairs, _picked(low, keep * take, u, 1)),
        ]
    )
    low, share = _taps(u.shape[0], size[0])
    weights = chain(u.shape[0], size[0]), _picked(low, -share * (1 - share), u, 0)
    squared = _resized(list(zip((along.T, gap.T), weights, strict=True))).T
    return jnp.sqrt(jnp.maximum(squared, NORM_FLOOR**2))


def _next(x: Array, axis: int) -> Array:
    """Each place's next one along an axis; the last one its own."""
    last = x.shape[axis] - 1
    parts = (jax.lax.slice_in_dim(x, a, b, axis=axis) for a, b in ((1, last + 1), (last, last + 1)))
    return jnp.concatenate(list(parts), axis)


def _taps(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
    """First source index of each output and the share of the next one."""
    matrix = chain(n_in, n_out)
    low = (matrix > 0).argmax(1)
    return low, 1.0 - matrix[np.arange(n_out), low]


def _picked(low: np.ndarray, weights: np.ndarray, u: Array, axis: int) -> np.ndarray:
    """The matrix [n_out, n_in] that takes the first source of each output with a weight."""
    matrix = np.zeros((len(low), u.shape[axis]))
    matrix[np.arange(len(low)), low] = weights
    return matrix


def _resized(terms: list[tuple[Float[Array, "m n"], np.ndarray]]) -> Float[Array, "m N"]:
    """Σ x Mᵀ over maps x and their matrices M, in one product.

    In full precision whatever the policy: these are differences of numbers near each other, and
    the maps have one channel.
    """
    maps = jnp.concatenate([x for x, _ in terms], axis=1)
    matrix = np.concatenate([m for _, m in terms], axis=1).astype(maps.dtype)
    return jnp.matmul(maps, matrix.T, precision=jax.lax.Precision.HIGHEST)


@jax.named_scope("prototypes")
def object_prototypes(
    u: Float[Array, "h w D"],
    reliability: Float[Array, "H W"],
    object_ids: Int[Array, "H W"],
    memory: Prototypes,
) -> tuple[Prototypes, Bool[Array, " O"]]:
    """Update the memory with the objects of one frame (Eq. 6).

    A frame's prototype is the mean over the object's pixels of ū ρ, with ū = Up(u)/‖Up(u)‖,
    L2-normalised; a stored one is averaged in and the result normalised again.

    Args:
        u: unit-length projections of the momentum network.
        reliability: ρ.
        object_ids: 0 for none, else 1…O.
        memory: prototypes so far.

    Returns:
        the new memory, and which objects the frame shows.
    """
    H, W = object_ids.shape
    O = memory.seen.shape[0]
    ids = jnp.arange(1, O + 1, dtype=object_ids.dtype)
    weight = reliability / upsampled_norm(u, (H, W))
    blocks = row_blocks((u.shape[0], H), W, O)

    def masked(weight, object_ids):
        return jnp.where(object_ids[:, None] == ids[None, :, None], weight[:, None], 0.0)

    columns = transpose_rows(masked, blocks, u.shape[0], weight, object_ids)
    spread = jax.linear_transpose(
        lambda x: resize_columns(x, u.shape[1], W),
        jax.ShapeDtypeStruct((*u.shape[:2], O), u.dtype),
    )(columns)[0]
    # Σ a ū = (Σ a) c + Σ a (ū − c): where features are nearly parallel the second sum about their
    # mean c is small, and so is its rounding.
    centre = u.mean((0, 1))
    sums = spread.sum((0, 1))[:, None] * centre[None, :]
    sums += jnp.einsum("hwo,hwd->od", spread, u - centre[None, None], precision=FULL)
    pixels = (object_ids.reshape(1, -1) == ids[:, None]).sum(1)
    present = pixels > 0
    fresh = normalise(sums / jnp.maximum(pixels, 1)[:, None].astype(u.dtype))
    mixed = normalise((fresh + memory.vectors) / 2)
    vectors = jnp.where(memory.seen[:, None], mixed, fresh)
    vectors = jnp.where(present[:, None], vectors, memory.vectors)
    return Prototypes(vectors, memory.seen | present), present


@jax.named_scope("contrastive_loss")
def contrastive_loss(
    u: Float[Array, "h w D"],
    prototypes: Float[Array, "O D"],
    present: Bool[Array, " O"],
    object_ids: Int[Array, "H W"],
    temperature: float = 1.0,
) -> Float[Array, ""]:
    """Cross entropy of every object pixel against the prototypes of the frame's objects (Eq. 7).

    Args:
        u: projections of the live network, not yet normalised.
        prototypes: constants.
        present: objects that the frame shows; the others are no alternatives.
        object_ids: each pixel's own object; 0 counts zero.
        temperature: divides the similarities.

    Returns:
        the loss summed over pixels and divided by H·W.
    """
    H, W = object_ids.shape
    # On a frame without objects no pixel counts, but all-absent similarities would still reach the
    # gradient: at -1e30 one rounding is enough for exp to overflow, and 0 · inf is not 0.
    present = present | ~present.any()
    u = normalise(u)
    inverse = 1.0 / (upsampled_norm(u, (H, W)) * temperature)
    found = similarities(u, prototypes, present)
    through = resizing(found, (H, W))
    above_chance = sum_over_pixels(_own_object_loss, found, through, inverse, object_ids)
    chance = jnp.log(present.sum().astype(u.dtype)) * (object_ids > 0).sum().astype(u.dtype)
    return (above_chance + chance) / (H * W)


def similarities(
    u: Float[Array, "h w D"], prototypes: Float[Array, "O D"], present: Bool[Array, " O"]
) -> Float[Array, "h w O"]:
    """⟨u, proto⟩ minus its mean over the objects present, at low resolution.

    The cross entropy does not see what all alternatives share. Taking the mean prototype away
    first keeps the digits that differ where prototypes are nearly parallel.
    """
    shown = present[:, None].astype(u.dtype)
    mean = (prototypes * shown).sum(0) / jnp.maximum(shown.sum(), 1)
    found = jnp.matmul(u, (prototypes - mean[None]).T, precision=FULL)
    return jnp.where(present[None, None], found, ABSENT)


def _own_object_loss(similarity, inverse, object_ids):
    """Loss minus its value log n for n equal similarities: small, so precise, where they are."""
    scaled = similarity * inverse[:, None]
    n = (similarity > 0.5 * ABSENT).sum(1).astype(scaled.dtype)
    highest = jax.lax.stop_gradient(scaled.max(1))
    mean = jnp.exp(scaled - highest[:, None]).sum(1) / n
    ids = jnp.arange(1, similarity.shape[1] + 1, dtype=object_ids.dtype)
    own = jnp.where(object_ids[:, None] == ids[None, :, None], scaled, 0.0).sum(1)
    return jnp.where(object_ids > 0, jnp.log(mean) + highest - own, 0.0).sum()
