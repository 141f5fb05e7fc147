"""The branches of Eq. 8 on the clip of frames t−1 and t: what each takes of a student in training.

BatchNorms go by the frames' weights (a missing frame 0 weighs nothing), and channels are dropped.
`features` is the encoder's of both frames, each Float[Array, "2 _h _w _c"]; `weight` theirs,
Float[Array, "2"]; `settings` is `AdaptationSettings`.
"""

from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ditta_jax.algorithm import contrast
from ditta_jax.students.layers import channel_dropout
from ditta_jax.students.parts import Adaptable
from ditta_jax.students.student import Student

Weight = Float[Array, "2"]


def clip_features(
    given: PyTree, student: Student, network: Adaptable, weight: Weight, key: PRNGKeyArray, settings
) -> PyTree:
    """Encoder features of the clip: as given, or from the frames where the encoder changes.

    It does with stochastic depth, and where its own parameters adapt: only then are its BatchNorms
    in training mode too.
    """
    adapts = "encoder" in network.params
    if settings.stochastic_depth == 0.0 and not adapts:
        return given
    return student.encode(given, key, settings.stochastic_depth, weight if adapts else None)


def momentum_branch(
    student: Student, features: PyTree, weight: Weight, key: PRNGKeyArray, settings
) -> tuple[Float[Array, "h w D"], Float[Array, "h w C"]]:
    """Unit-length projection and plain logits of frame t in training mode."""
    f = student.embed(features, weight)[1:]
    z = student.classify(f, _dropout(key, 1, f.shape[-1], settings))[0]
    u = contrast.normalise(student.project(f)[0])
    return u, z


def live_branches(
    student: Student, features: PyTree, weight: Weight, key: PRNGKeyArray, settings
) -> tuple[Float[Array, "h w C"], Float[Array, "h w C"], Float[Array, "h w D"]]:
    """Plain and fused logits and projection of frame t in training mode."""
    f = student.embed(features, weight)
    z = student.classify(f, _dropout(key, 2, f.shape[-1], settings))
    z_fused = student.fusion(f[1], f[0], z[0])
    return z[1], z_fused, student.project(f[1])


def _dropout(key, frames, channels, settings):
    if settings.dropout == 0.0:
        return None
    return channel_dropout(key, frames, channels, settings.dropout)
