"""`window_attention` as two Pallas kernels, one program per tile of queries.

Scores live on the chip only: a program goes through its tile's keys in chunks with a running
softmax (forward) and recomputes their weights from the softmax's maximum and sum (backward).
XLA cuts the maps into tiles before, and adds overlapping tiles' gradients up after.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas
from jaxtyping import Array, Bool, Float

from ditta_jax.students.wide import wide_dtype
from ditta_jax.students.window_attention import FLOOR, TILE, Tiling

KEYS = 128  # keys of a tile are padded to a multiple of it, and so to one of every chunk
CHUNK_TPU = 128  # keys at a time: what a TPU's matrix unit takes
CHUNK_GPU = 32  # beside 64 queries of 256 channels, what a GPU's shared memory holds
MIN_CHANNELS = 16  # of a matrix product in Triton, which also wants powers of two

Tiles = Float[Array, "tiles n c"]


@jax.named_scope("window_attention")
def window_attention_pallas(
    q: Float[Array, "h w D"],
    k: Float[Array, "h w D"],
    v: Float[Array, "h w C"],
    radius: int,
    tile: int = TILE,
    interpret: bool = False,
) -> Float[Array, "h w C"]:
    """`window_attention` by Pallas kernels: Mosaic on TPUs, Triton on GPUs.

    On a CPU the kernels are interpreted: slow, only to test them. All tiles of keys and values
    are in the device's memory at once, (1 + 2r/tile)² times the maps; scores never are. Sums are
    in float32 at least.

    Args:
        q: queries.
        k: keys.
        v: values.
        radius: of the window.
        tile: queries per tile side; on GPUs a power of two from 4 on.
        interpret: interpret the kernels on other devices too.
    """
    tiling = Tiling(q.shape[0], q.shape[1], radius, tile)
    dtype = jnp.promote_types(q.dtype, k.dtype)
    q, k = (_pad_channels(x.astype(dtype)) for x in (q, k))
    return _attention(q, k, _pad_channels(v), tiling, interpret)[..., : v.shape[-1]]


def _pad_channels(x: Float[Array, "h w c"]) -> Float[Array, "h w padded"]:
    """The next power of two: channels of 0 change no product."""
    width = max(MIN_CHANNELS, 1 << (x.shape[-1] - 1).bit_length())
    return jnp.pad(x, ((0, 0), (0, 0), (0, width - x.shape[-1])))


# ---------------------------------------------------------------------------- maps and tiles


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _attention(q, k, v, tiling: Tiling, interpret: bool):
    return _attention_forward(q, k, v, tiling, interpret)[0]


def _attention_forward(q, k, v, tiling: Tiling, interpret: bool):
    tiles = _cut(q, k, v, tiling=tiling)
    out, top, total = _on_device(_forward, (*tiles, *_biases(tiling)), interpret)
    out = _join(out, tiling).astype(v.dtype)
    return out, (q, k, v, out, top, total)


def _attention_backward(tiling: Tiling, interpret: bool, residuals, d_out):
    q, k, v, out, top, total = residuals
    wide = top.dtype
    delta = (d_out.astype(wide) * out.astype(wide)).sum(-1, keepdims=True)
    queries = (_cut_queries(x, tiling) for x in (d_out, delta))
    arrays = (*_cut(q, k, v, tiling=tiling), *_biases(tiling), top, total, *queries)
    gradients = _on_device(_backward, arrays, interpret)
    # A key's gradients from all tiles that hold it are added before they are rounded.
    maps = (jax.ShapeDtypeStruct(x.shape, wide) for x in (q, k, v))
    add_up = jax.linear_transpose(functools.partial(_cut, tiling=tiling), *maps)
    return tuple(g.astype(x.dtype) for g, x in zip(add_up(gradients), (q, k, v), strict=True))


_attention.defvjp(_attention_forward, _attention_backward)


def _cut(q, k, v, tiling: Tiling) -> tuple[Tiles, Tiles, Tiles]:
    return _cut_queries(q, tiling), _cut_keys(k, tiling), _cut_keys(v, tiling)


def _cut_queries(x: Float[Array, "h w c"], tiling: Tiling) -> Float[Array, "tiles q c"]:
    strips = tiling.pad_queries(x).reshape(tiling.rows, tiling.tile, -1, x.shape[-1])
    return jax.vmap(tiling.query_tiles)(strips).reshape(-1, tiling.tile**2, x.shape[-1])


def _cut_keys(x: Float[Array, "h w c"], tiling: Tiling) -> Float[Array, "tiles k c"]:
    padded = tiling.pad_keys(x)
    starts = range(0, tiling.rows * tiling.tile, tiling.tile)
    strips = jnp.stack([padded[start : start + tiling.side] for start in starts])
    tiles = jax.vmap(tiling.key_tiles)(strips).reshape(-1, tiling.side**2, x.shape[-1])
    return jnp.pad(tiles, ((0, 0), (0, -tiles.shape[1] % KEYS), (0, 0)))


def _join(tiles: Float[Array, "tiles q c"], tiling: Tiling) -> Float[Array, "h w c"]:
    rows = tiles.reshape(tiling.rows, tiling.columns, *tiles.shape[1:])
    out = jax.vmap(tiling.joined)(rows)
    return out.reshape(-1, *out.shape[2:])[: tiling.h, : tiling.w]


def _biases(tiling: Tiling) -> tuple[Float[Array, "q k"], Float[Array, "tiles k"]]:
    """What is added to scores: by the window, the same in all tiles, and by the map's edge."""
    exists = tiling.rows_exist()[:, None, :, None] & tiling.columns_exist()[None, :, None, :]
    return _bias(tiling.window()), _bias(exists.reshape(-1, tiling.side**2))


def _bias(seen: Bool[np.ndarray, "n k"]) -> Float[Array, "n padded"]:
    padded = np.pad(seen, ((0, 0), (0, -seen.shape[1] % KEYS)))
    return jnp.where(padded, 0.0, FLOOR).astype(jnp.float32)


# ---------------------------------------------------------------------------- kernel calls


def _on_device(run: Callable, arrays: tuple[Array, ...], interpret: bool) -> tuple[Array, ...]:
    """`run` with chunks and compiler of the device that the program is lowered for."""
    interpreted = functools.partial(run, chunk=CHUNK_GPU, interpret=True)
    if interpret:
        return interpreted(*arrays)
    from jax.experimental.pallas import triton

    # One stage: a second one's chunks do not fit into shared memory beside the first's.
    options = triton.CompilerParams(num_warps=8, num_stages=1)
    gpu = functools.partial(run, chunk=CHUNK_GPU, compiler_params=options)
    tpu = functools.partial(run, chunk=CHUNK_TPU)
    return jax.lax.platform_dependent(*arrays, cpu=interpreted, cuda=gpu, rocm=gpu, tpu=tpu)


def _forward(q, k, v, window, exists, *, chunk: int, **options):
    """Output, and each query's largest score and sum of weights relative to it."""
    wide = _wide(q, v)
    like = [jax.ShapeDtypeStruct((*q.shape[:2], c), wide) for c in (v.shape[-1], 1, 1)]
    arrays = (q, *_chunks(k, v, window, exists, chunk=chunk))
    return _call(_forward_kernel, arrays, like, **options)


def _backward(q, k, v, window, exists, top, total, d_out, delta, *, chunk: int, **options):
    """Gradients of the tiles."""
    keys = _chunks(k, v, window, exists, chunk=chunk)
    like = [jax.ShapeDtypeStruct(x.shape, _wide(q, v)) for x in (q, *keys[:2])]
    arrays = (q, *keys, top, total, d_out, delta)
    dq, dk, dv = _call(_backward_kernel, arrays, like, **options)
    return dq, dk.reshape(k.shape), dv.reshape(v.shape)


def _chunks(k, v, window, exists, *, chunk: int) -> tuple[Array, Array, Array, Array]:
    """Keys by chunk, on an axis that a kernel can index by the number of its round."""
    k, v = (x.reshape(x.shape[0], -1, chunk, x.shape[-1]) for x in (k, v))
    window = window.reshape(window.shape[0], -1, chunk).swapaxes(0, 1)
    return k, v, window, exists.reshape(exists.shape[0], -1, 1, chunk)


def _call(kernel: Callable, arrays: tuple[Array, ...], like: list, **options) -> list[Array]:
    """A program per tile: it gets its part of all arrays, and the whole window."""

    def own(x):
        return pallas.BlockSpec((1, *x.shape[1:]), lambda i: (i, *[0] * (len(x.shape) - 1)))

    specs = [own(x) for x in arrays]
    specs[3] = pallas.BlockSpec(arrays[3].shape, lambda i: (0, 0, 0))
    return pallas.pallas_call(
        kernel,
        out_shape=like,
        grid=(arrays[0].shape[0],),
        in_specs=specs,
        out_specs=[own(x) for x in like],
        **options,
    )(*arrays)


def _wide(q, v) -> np.dtype:
    return max((wide_dtype(q), wide_dtype(v)), key=lambda dtype: dtype.itemsize)


# ---------------------------------------------------------------------------- kernels


def _forward_kernel(q_ref, k_ref, v_ref, window_ref, exists_ref, out_ref, top_ref, total_ref):
    q, wide = q_ref[0], out_ref.dtype

    def one_chunk(i, carry):
        top, total, out = carry
        v = v_ref[0, i]
        scores = _scores(q, k_ref[0, i], window_ref[i], exists_ref[0, i], wide)
        new_top = jnp.maximum(top, scores.max(1, keepdims=True))
        weights, shrink = jnp.exp(scores - new_top), jnp.exp(top - new_top)
        total = total * shrink + weights.sum(1, keepdims=True)
        return new_top, total, out * shrink + _dot(weights.astype(v.dtype), v, (1, 0), wide)

    # Scores are finite, so that the first chunk replaces the infinite maximum.
    top, total = (jnp.full(top_ref.shape[1:], x, wide) for x in (-jnp.inf, 0.0))
    start = top, total, jnp.zeros(out_ref.shape[1:], wide)
    top_ref[0], total_ref[0], out = jax.lax.fori_loop(0, k_ref.shape[1], one_chunk, start)
    out_ref[0] = out / total_ref[0]


def _backward_kernel(
    q_ref, k_ref, v_ref, window_ref, exists_ref, top_ref, total_ref, d_out_ref, delta_ref,
    dq_ref, dk_ref, dv_ref,
):  # fmt: skip
    top, total, delta, wide = top_ref[0], total_ref[0], delta_ref[0], dq_ref.dtype

    def one_chunk(i, dq):
        # Queries too are read in each round: a GPU then need not keep the two layouts that
        # products over channels and over queries want in its shared memory side by side.
        q, d_out, k, v = q_ref[0], d_out_ref[0], k_ref[0, i], v_ref[0, i]
        scores = _scores(q, k, window_ref[i], exists_ref[0, i], wide)
        weights = jnp.exp(scores - top) / total
        dv_ref[0, i] = _dot(weights.astype(v.dtype), d_out, (0, 0), wide)
        d_scores = (weights * (_dot(d_out, v, (1, 1), wide) - delta)).astype(q.dtype)
        dk_ref[0, i] = _dot(d_scores, q, (0, 0), wide)
        return dq + _dot(d_scores, k, (1, 0), wide)

    start = jnp.zeros(dq_ref.shape[1:], wide)
    dq_ref[0] = jax.lax.fori_loop(0, k_ref.shape[1], one_chunk, start)


def _scores(q, k, window, exists, wide):
    return _dot(q, k, (1, 1), wide) + window.astype(wide) + exists.astype(wide)


def _dot(a: Array, b: Array, over: tuple[int, int], wide: np.dtype) -> Array:
    """A product over one axis of each matrix that rounds neither; bfloat16 needs no more."""
    fast = a.dtype == jnp.bfloat16
    return jax.lax.dot_general(
        a,
        b,
        (((over[0],), (over[1],)), ((), ())),
        precision=jax.lax.Precision.DEFAULT if fast else jax.lax.Precision.HIGHEST,
        preferred_element_type=wide,
    )
