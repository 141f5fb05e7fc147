"""`window_attention` for devices with units for matrix products: whole neighbouring blocks.

Maps lie in blocks of tile² positions. A block of queries meets its own block of keys and those
around it, found by shifting the axes of blocks: more products than for tiles with halo, and no
position is cut out of a block or copied out of its row, forward or backward.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ditta_jax.students.wide import FULL, wide_dtype
from ditta_jax.students.window_attention import FLOOR, TILE

ROWS = 5  # of blocks at a time, at most: what they need fits a TPU's vector memory


class Blocks(NamedTuple):
    """How maps are cut into blocks, and rows of blocks into groups that follow one another.

    Attributes:
        h, w: size of the maps.
        radius: of the window.
        tile: positions per side of a block.
    """

    h: int
    w: int
    radius: int
    tile: int

    @property
    def columns(self) -> int:
        """Columns of blocks."""
        return -(-self.w // self.tile)

    @property
    def groups(self) -> int:
        """Groups of rows of blocks."""
        return -(-self.h // (self.tile * ROWS))

    @property
    def rows(self) -> int:
        """Rows of blocks in a group."""
        return -(-self.h // (self.tile * self.groups))

    @property
    def beside(self) -> int:
        """Blocks on either side of a block that its windows reach into."""
        return -(-self.radius // self.tile)

    @property
    def moves(self) -> int:
        """Blocks of keys that a block of queries meets, along either axis."""
        return 2 * self.beside + 1

    def padded(self, x: Float[Array, "h w c"], around: int) -> Float[Array, "height width c"]:
        """Whole groups of blocks, with so many blocks around them."""
        below = self.groups * self.rows * self.tile - self.h
        right, halo = self.columns * self.tile - self.w, around * self.tile
        return jnp.pad(x, ((halo, below + halo), (halo, right + halo), (0, 0)))

    def cut(self, x: Float[Array, "height width c"]) -> Float[Array, "columns rows n c"]:
        """Blocks of a map that consists of whole ones."""
        n = self.tile
        blocks = x.reshape(x.shape[0] // n, n, x.shape[1] // n, n, -1).transpose(2, 0, 1, 3, 4)
        return blocks.reshape(*blocks.shape[:2], n * n, -1)

    def joined(self, blocks: Float[Array, "columns rows n c"]) -> Float[Array, "height width c"]:
        """The inverse of `cut`."""
        columns, rows, n = *blocks.shape[:2], self.tile
        apart = blocks.reshape(columns, rows, n, n, -1).transpose(1, 2, 0, 3, 4)
        return apart.reshape(rows * n, columns * n, -1)

    def near(self) -> Bool[np.ndarray, "1 1 q k"]:
        """Which keys of all moves lie in a query's window: a column of blocks after the other."""
        n = self.tile
        own = (np.abs(self._offsets() - np.arange(n)[:, None]) <= self.radius).reshape(n, -1, n)
        both = own[:, None, None, :, :, None] & own[None, :, :, None, None, :]
        return both.reshape(1, 1, n * n, -1)

    def inside(self, group: Int[Array, ""]) -> Bool[Array, "columns rows 1 k"]:
        """Which keys of all moves lie in the map."""
        n, offsets = self.tile, self._offsets()
        x, y = (np.arange(count)[:, None] * n + offsets for count in (self.columns, self.rows))
        y = y + group * (self.rows * n)
        in_x = jnp.asarray((x >= 0) & (x < self.w)).reshape(self.columns, 1, 1, -1, 1, 1, n)
        in_y = ((y >= 0) & (y < self.h)).reshape(1, self.rows, 1, 1, -1, n, 1)
        return (in_x & in_y).reshape(self.columns, self.rows, 1, -1)

    def _offsets(self) -> Int[np.ndarray, " k"]:
        """Places of the keys of all moves along an axis, counted from a block's first one."""
        return np.arange(self.moves * self.tile) - self.beside * self.tile


@jax.named_scope("window_attention")
def block_attention(
    q: Float[Array, "h w D"],
    k: Float[Array, "h w D"],
    v: Float[Array, "h w C"],
    radius: int,
    tile: int = TILE,
) -> Float[Array, "h w C"]:
    """`window_attention`, some rows of blocks at once: h·w·(tile + 2·tile·⌈r/tile⌉)² scores.

    Backward, all that a group of rows needs is computed anew from the maps: nothing of it is kept.
    """
    blocks = Blocks(q.shape[0], q.shape[1], radius, tile)
    keys, values = (blocks.cut(blocks.padded(x, blocks.beside)) for x in (k, v))
    near = jnp.asarray(blocks.near())

    @jax.checkpoint
    def group(index, queries):
        def met(x):
            """Of each block the columns of blocks around it: [columns + …, rows, moves·n, c]."""
            first, rows = index * blocks.rows, blocks.rows + 2 * blocks.beside
            x = jax.lax.dynamic_slice_in_dim(x, first, rows, axis=1)
            parts = [x[:, i : i + blocks.rows] for i in range(blocks.moves)]
            return jnp.concatenate(parts, axis=2)

        seen = near & blocks.inside(index)
        return blocks.joined(_attend(blocks.cut(queries), met(keys), met(values), seen))

    strips = blocks.padded(q, 0).reshape(blocks.groups, blocks.rows * tile, -1, q.shape[-1])
    out = jax.lax.map(lambda own: group(*own), (jnp.arange(blocks.groups), strips))
    return out.reshape(-1, *out.shape[2:])[: blocks.h, : blocks.w]


def _attend(
    q: Float[Array, "columns rows q D"],
    k: Float[Array, "keys rows k D"],
    v: Float[Array, "keys rows k C"],
    seen: Bool[Array, "columns rows q all"],
) -> Float[Array, "columns rows q C"]:
    columns, moves = len(q), len(k) - len(q) + 1
    product = functools.partial(jnp.einsum, precision=FULL, preferred_element_type=wide_dtype(q))
    scores = [product("xyqd,xykd->xyqk", q, k[m : m + columns]) for m in range(moves)]
    # Padded queries see no key at all; their unused rows must still be free of NaN.
    masked = jnp.where(seen, jnp.concatenate(scores, axis=-1), FLOOR)
    weights = jnp.split(jax.nn.softmax(masked, axis=-1).astype(v.dtype), moves, axis=-1)
    parts = [product("xyqk,xykc->xyqc", part, v[m : m + columns]) for m, part in enumerate(weights)]
    return sum(parts[1:], parts[0]).astype(v.dtype)
