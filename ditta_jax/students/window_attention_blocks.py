"""`window_attention` for devices with units for matrix products: neighbouring blocks, no loop.

Keys are laid out in blocks of columns once. A tile of queries meets its own block and those beside
it as whole blocks, each by a shift of the axis of blocks. That is a third more products than tiles
with halo, and no overlapping columns are copied, forward or backward; rows overlap as in the tiles.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ditta_jax.students.wide import FULL, wide_dtype
from ditta_jax.students.window_attention import FLOOR, TILE, Tiling


@jax.named_scope("window_attention")
def block_attention(
    q: Float[Array, "h w D"],
    k: Float[Array, "h w D"],
    v: Float[Array, "h w C"],
    radius: int,
    tile: int = TILE,
) -> Float[Array, "h w C"]:
    """`window_attention`, all tiles at once: h·w·(tile + 2r)·(tile + 2·tile·⌈r/tile⌉) scores."""
    tiling = Tiling(q.shape[0], q.shape[1], radius, tile)
    Q, K, V = _query_tiles(q, tiling), _key_blocks(k, tiling), _key_blocks(v, tiling)
    columns, moves = tiling.columns, 2 * _beside(tiling) + 1
    product = functools.partial(jnp.einsum, precision=FULL, preferred_element_type=wide_dtype(q))
    scores = [product("xyqd,xykd->xyqk", Q, K[m : m + columns]) for m in range(moves)]
    masked = jnp.where(_seen(tiling), jnp.concatenate(scores, axis=-1), FLOOR)
    weights = jnp.split(jax.nn.softmax(masked, axis=-1).astype(v.dtype), moves, axis=-1)
    parts = [product("xyqk,xykc->xyqc", part, V[m : m + columns]) for m, part in enumerate(weights)]
    return _joined(sum(parts[1:], parts[0]).astype(v.dtype), tiling)


def _beside(tiling: Tiling) -> int:
    """Blocks on either side of a tile that its windows reach into."""
    return -(-tiling.radius // tiling.tile)


def _query_tiles(x: Float[Array, "h w c"], tiling: Tiling) -> Float[Array, "columns rows q c"]:
    n = tiling.tile
    tiles = tiling.pad_queries(x).reshape(tiling.rows, n, tiling.columns, n, -1)
    return tiles.transpose(2, 0, 1, 3, 4).reshape(tiling.columns, tiling.rows, n * n, -1)


def _joined(tiles: Float[Array, "columns rows q c"], tiling: Tiling) -> Float[Array, "h w c"]:
    """The inverse of `_query_tiles`."""
    n = tiling.tile
    split = tiles.reshape(tiling.columns, tiling.rows, n, n, -1).transpose(1, 2, 0, 3, 4)
    return split.reshape(tiling.rows * n, tiling.columns * n, -1)[: tiling.h, : tiling.w]


def _key_blocks(x: Float[Array, "h w c"], tiling: Tiling) -> Float[Array, "blocks rows k c"]:
    """Blocks of columns, of each the `side` rows that a row of tiles sees.

    Rows overlap from one row of tiles to the next: the map beside itself moved by tiles, as in
    `Tiling.key_tiles`; transposed, that is an addition per move.
    """
    n, side, rows = tiling.tile, tiling.side, tiling.rows
    halo, moves = _beside(tiling) * n, -(-side // n)
    below = (rows + moves - 1) * n - rows * n - tiling.radius
    x = jnp.pad(tiling.pad_queries(x), ((tiling.radius, below), (halo, halo), (0, 0)))
    blocks = x.reshape(rows + moves - 1, n, -1, n, x.shape[-1]).transpose(2, 0, 1, 3, 4)
    strips = jnp.concatenate([blocks[:, i : i + rows] for i in range(moves)], axis=2)[:, :, :side]
    return strips.reshape(*strips.shape[:2], side * n, -1)


def _seen(tiling: Tiling) -> Bool[Array, "columns rows q k"]:
    """Which keys of all moves lie in a query's window and in the map."""
    n, side, moves = tiling.tile, tiling.side, 2 * _beside(tiling) + 1
    y = np.arange(side) - tiling.radius  # of keys, relative to their tile's first query
    x = (np.arange(moves * n) - _beside(tiling) * n).reshape(moves, n)
    own = np.arange(n)
    near_y = np.abs(y - own[:, None]) <= tiling.radius
    near_x = np.abs(x - own[:, None, None]) <= tiling.radius
    near = near_y[:, None, None, :, None] & near_x[None, :, :, None, :]
    first_y, first_x = np.arange(tiling.rows) * n, np.arange(tiling.columns) * n
    at_y, at_x = first_y[:, None] + y, first_x[:, None, None] + x
    in_y, in_x = (at_y >= 0) & (at_y < tiling.h), (at_x >= 0) & (at_x < tiling.w)
    inside = in_y[None, :, None, :, None] & in_x[:, None, :, None, :]
    inside = inside.reshape(tiling.columns, tiling.rows, 1, -1)
    return jnp.asarray(near.reshape(1, 1, n * n, -1)) & jnp.asarray(inside)
