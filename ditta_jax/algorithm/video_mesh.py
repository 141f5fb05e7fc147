"""Videos side by side on devices: a mesh with the axis "video", and what goes there and back."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

AXIS = "video"


def devices_of(videos: int) -> list[jax.Device]:
    """The devices of this process that so many videos side by side are spread over, at most."""
    return jax.local_devices()[:videos]


def video_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """A mesh of the devices; not by `jax.make_mesh`, whose explicit axes a scan refuses."""
    return Mesh(np.array(devices), (AXIS,))


def spread(videos: Sequence[PyTree], mesh: Mesh) -> PyTree:
    """Stack videos along a new first axis, which is spread over the mesh.

    The last video is repeated until every device has as many. Each device stacks its own share:
    nothing passes through the host, and what lies on its device already (`home`) does not move.

    Args:
        videos: V trees of host or device arrays of equal shapes.
        mesh: of `video_mesh`.

    Returns:
        a tree of arrays with a leading multiple of `mesh.size`.
    """
    own = NamedSharding(mesh, PartitionSpec(AXIS))
    even = [*videos, *[videos[-1]] * (-len(videos) % mesh.size)]

    def stack(*leaves):
        if jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):  # no array of them can be put up
            return jax.device_put(jnp.stack(leaves), own)
        shares = [
            jnp.stack([jax.device_put(leaf, device) for leaf in leaves[i * each : (i + 1) * each]])
            for i, device in enumerate(mesh.devices.flat)
        ]
        shape = (len(leaves), *leaves[0].shape)
        return jax.make_array_from_single_device_arrays(shape, own, shares)

    each = len(even) // mesh.size
    return jax.tree.map(stack, *even)


def home(video: int, videos: int, mesh: Mesh) -> jax.Device:
    """The device of the mesh that `spread` puts a video on, of so many."""
    return mesh.devices.flat[video // -(-videos // mesh.size)]


def on_every_device(tree: PyTree, mesh: Mesh) -> PyTree:
    """A copy of a tree on each device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def each_video(f: Callable, mesh: Mesh, shared: int = 0) -> Callable:
    """`f` of every video where it lies: one after the other on a device, without communication.

    Divided here and not by the compiler: no device may wait for another. One after the other,
    results are the bits of `f` itself, and a device works with the memory of one video.

    Args:
        f: of the trees of one video, and of `shared` further ones.
        mesh: of `video_mesh`.
        shared: how many of the last arguments are the same for all, on every device.

    Returns:
        a function of the same arguments, the videos' with a leading multiple of `mesh.size`, as
        the results have.
    """

    def several(*arguments):
        cut = len(arguments) - shared
        own, common = arguments[:cut], arguments[cut:]

        def here(own, common):
            return jax.lax.map(lambda one: f(*one, *common), own)

        spec = PartitionSpec(AXIS)
        # Everything varies over the axis: nothing to check.
        return jax.shard_map(
            here, mesh=mesh, in_specs=(spec, PartitionSpec()), out_specs=spec, check_vma=False
        )(own, common)

    return several


def unused(tree: PyTree) -> PyTree:
    """Stand for arrays that a program takes but does not use: no bytes, and none are sent."""
    return jax.tree.map(lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), tree)


def fetch(stacked: PyTree, videos: int) -> list[PyTree]:
    """The inverse of `spread`: each video's host arrays, without repetitions of the last."""
    host = jax.device_get(stacked)
    return [jax.tree.map(lambda x, v=v: x[v], host) for v in range(videos)]
