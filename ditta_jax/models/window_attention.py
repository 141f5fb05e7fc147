"""Attention from every position of one map to a square window of another: tiles with halo."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

TILE = 8  # queries per tile side: 8×8 queries see 18×18 keys at radius 5


def window_attention(
    q: Float[Array, "h w D"],
    k: Float[Array, "h w D"],
    v: Float[Array, "h w C"],
    radius: int,
    tile: int = TILE,
) -> Float[Array, "h w C"]:
    """softmax over the (2r+1)² window of ⟨q(y, x), k(y', x')⟩, applied to v; no 1/√D scale.

    Positions outside the map do not exist. Queries are cut into `tile`² tiles and keys into
    (tile + 2r)² tiles with halo, so the work is batched matrix products: h·w·(tile + 2r)² scores
    instead of (h·w)². One row of tiles is live at a time; its scores are recomputed backward.

    Source: SPEC "Temporal fusion module"; equals dense attention with a mask |Δy|, |Δx| ≤ r.
    """
    h, w = q.shape[:2]
    rows, columns = -(-h // tile), -(-w // tile)
    side = tile + 2 * radius
    q = _pad(q, (0, rows * tile - h), (0, columns * tile - w))
    k, v = (
        _pad(x, (radius, rows * tile - h + radius), (radius, columns * tile - w + radius))
        for x in (k, v)
    )
    inside = _window(tile, radius)
    key_rows = np.arange(rows)[:, None] * tile + np.arange(side) - radius
    key_columns = np.arange(columns)[:, None] * tile + np.arange(side) - radius
    rows_exist = jnp.asarray((key_rows >= 0) & (key_rows < h))
    columns_exist = jnp.asarray((key_columns >= 0) & (key_columns < w))

    @jax.checkpoint
    def tile_row(index, row_exists):
        def cut(x, height):
            return jax.lax.dynamic_slice_in_dim(x, index * tile, height, axis=0)

        queries = cut(q, tile).reshape(tile, columns, tile, -1).swapaxes(0, 1)
        keys, values = (_halo_tiles(cut(x, side), columns, tile, side) for x in (k, v))
        exists = (row_exists[:, None] & columns_exist[:, None, :]).reshape(columns, 1, side * side)
        out = _attend(
            queries.reshape(columns, tile * tile, -1),
            keys.reshape(columns, side * side, -1),
            values.reshape(columns, side * side, -1),
            inside & exists,
        )
        return out.reshape(columns, tile, tile, -1).swapaxes(0, 1).reshape(tile, columns * tile, -1)

    out = jax.lax.map(lambda args: tile_row(*args), (jnp.arange(rows), rows_exist))
    return out.reshape(rows * tile, columns * tile, -1)[:h, :w]


def _attend(
    q: Float[Array, "n q D"],
    k: Float[Array, "n k D"],
    v: Float[Array, "n k C"],
    mask: Bool[Array, "n q k"],
) -> Float[Array, "n q C"]:
    scores = jnp.einsum("nqd,nkd->nqk", q, k)
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    # Padded queries see no key at all; a finite floor keeps their unused rows free of NaN.
    weights = jax.nn.softmax(jnp.where(mask, scores, -1e30), axis=-1)
    return jnp.einsum("nqk,nkc->nqc", weights.astype(v.dtype), v)


def _halo_tiles(
    x: Float[Array, "side width c"], columns: int, tile: int, side: int
) -> Float[Array, "columns side side c"]:
    """Overlapping key tiles of one row, by static slices (their transpose is adds, no scatter)."""
    return jnp.stack([x[:, i * tile : i * tile + side] for i in range(columns)])


@functools.lru_cache(maxsize=16)
def _window(tile: int, radius: int) -> Bool[np.ndarray, "q k"]:
    """Which keys of a halo tile lie in each query's window."""
    near = np.abs(np.arange(tile + 2 * radius) - radius - np.arange(tile)[:, None]) <= radius
    side = tile + 2 * radius
    return (near[:, None, :, None] & near[None, :, None, :]).reshape(tile * tile, side * side)


def _pad(x: Float[Array, "h w c"], rows: tuple[int, int], columns: tuple[int, int]):
    return jnp.pad(x, (rows, columns, (0, 0)))
