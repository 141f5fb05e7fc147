"""Attention from every position of one map to a square window of another: tiles with halo."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float

from ditta_jax.students.wide import FULL, wide_dtype

TILE = 8  # queries per tile side: 8×8 queries see 18×18 keys at radius 5
KEEP_WEIGHTS = jax.checkpoint_policies.save_only_these_names("weights")
FLOOR = -1e30  # score of a key that is not seen; finite, so that no row of scores can give NaN


class Tiling(NamedTuple):
    """How maps are cut: queries into `tile`² tiles, keys and values into `side`² with halo.

    Attributes:
        h, w: size of the maps.
        radius: of the window.
        tile: queries per tile side.
    """

    h: int
    w: int
    radius: int
    tile: int

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.h // self.tile)

    @property
    def columns(self) -> int:
        """Columns of tiles."""
        return -(-self.w // self.tile)

    @property
    def side(self) -> int:
        """Keys per side of a halo tile."""
        return self.tile + 2 * self.radius

    def pad_queries(self, x: Float[Array, "h w c"]) -> Float[Array, "height width c"]:
        """Whole tiles."""
        below, right = self.rows * self.tile - self.h, self.columns * self.tile - self.w
        return jnp.pad(x, ((0, below), (0, right), (0, 0)))

    def pad_keys(self, x: Float[Array, "h w c"]) -> Float[Array, "height width c"]:
        """Whole tiles with their halo."""
        r = self.radius
        return jnp.pad(self.pad_queries(x), ((r, r), (r, r), (0, 0)))

    def query_tiles(self, strip: Float[Array, "tile width c"]) -> Float[Array, "columns q c"]:
        """Tiles of one row of queries, each with its tile² queries in order."""
        tiles = strip.reshape(self.tile, self.columns, self.tile, -1).swapaxes(0, 1)
        return tiles.reshape(self.columns, self.tile**2, -1)

    def joined(self, tiles: Float[Array, "columns q c"]) -> Float[Array, "tile width c"]:
        """The inverse of `query_tiles`."""
        strip = tiles.reshape(self.columns, self.tile, self.tile, -1).swapaxes(0, 1)
        return strip.reshape(self.tile, self.columns * self.tile, -1)

    def key_tiles(self, strip: Float[Array, "side width c"]) -> Float[Array, "columns k c"]:
        """Overlapping tiles of one row of keys: the strip, side by side with itself moved by tiles.

        Transposed, that is one addition per move, and no scatter.
        """
        moves = -(-self.side // self.tile)
        width = self.columns * self.tile
        missing = (moves - 1) * self.tile - 2 * self.radius
        strip = jnp.pad(strip, ((0, 0), (0, missing), (0, 0)))
        parts = [
            strip[:, i * self.tile : i * self.tile + width].reshape(
                self.side, self.columns, self.tile, -1
            )
            for i in range(moves)
        ]
        tiles = jnp.concatenate(parts, axis=2)[:, :, : self.side].swapaxes(0, 1)
        return tiles.reshape(self.columns, self.side**2, -1)

    def rows_exist(self) -> Bool[np.ndarray, "rows side"]:
        """Which rows of each row of halo tiles lie in the map."""
        return _within(self.rows, self.h, self)

    def columns_exist(self) -> Bool[np.ndarray, "columns side"]:
        """Which columns of each column of halo tiles lie in the map."""
        return _within(self.columns, self.w, self)

    def window(self) -> Bool[np.ndarray, "q k"]:
        """Which keys of a halo tile lie in each query's window."""
        return _window(self.tile, self.radius)


@jax.named_scope("window_attention")
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
    instead of (h·w)². One row of tiles is live at a time; backward, its tiles are cut anew, and
    only the weights, h·w·(tile + 2r)² of them, are kept.

    Source: SPEC "Temporal fusion module"; equals dense attention with a mask |Δy|, |Δx| ≤ r.
    """
    tiling = Tiling(q.shape[0], q.shape[1], radius, tile)
    q, k, v = tiling.pad_queries(q), tiling.pad_keys(k), tiling.pad_keys(v)
    inside = tiling.window()
    rows_exist, columns_exist = map(jnp.asarray, (tiling.rows_exist(), tiling.columns_exist()))

    @functools.partial(jax.checkpoint, policy=KEEP_WEIGHTS)
    def tile_row(index, row_exists):
        def cut(x, height):
            return jax.lax.dynamic_slice_in_dim(x, index * tile, height, axis=0)

        exists = row_exists[None, :, None] & columns_exist[:, None, :]
        out = _attend(
            tiling.query_tiles(cut(q, tile)),
            tiling.key_tiles(cut(k, tiling.side)),
            tiling.key_tiles(cut(v, tiling.side)),
            inside[None] & exists.reshape(tiling.columns, 1, tiling.side**2),
        )
        return tiling.joined(out)

    out = jax.lax.map(lambda args: tile_row(*args), (jnp.arange(tiling.rows), rows_exist))
    return out.reshape(-1, *out.shape[2:])[: tiling.h, : tiling.w]


def _attend(
    q: Float[Array, "n q D"],
    k: Float[Array, "n k D"],
    v: Float[Array, "n k C"],
    mask: Bool[Array, "n q k"],
) -> Float[Array, "n q C"]:
    wide = wide_dtype(q)
    scores = jnp.einsum("nqd,nkd->nqk", q, k, precision=FULL, preferred_element_type=wide)
    # Padded queries see no key at all; their unused rows must still be free of NaN.
    weights = checkpoint_name(jax.nn.softmax(jnp.where(mask, scores, FLOOR), axis=-1), "weights")
    return jnp.einsum("nqk,nkc->nqc", weights.astype(v.dtype), v, precision=FULL)


def _within(count: int, length: int, tiling: Tiling) -> Bool[np.ndarray, "count side"]:
    places = np.arange(count)[:, None] * tiling.tile + np.arange(tiling.side) - tiling.radius
    return (places >= 0) & (places < length)


@functools.lru_cache(maxsize=16)
def _window(tile: int, radius: int) -> Bool[np.ndarray, "q k"]:
    near = np.abs(np.arange(tile + 2 * radius) - radius - np.arange(tile)[:, None]) <= radius
    side = tile + 2 * radius
    return (near[:, None, :, None] & near[None, :, None, :]).reshape(tile * tile, side * side)
