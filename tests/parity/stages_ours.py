"""Every intermediate result of one step in this package, by the same names as the twin's."""

import contextlib
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ditta_jax.algorithm import adaptation, contrast, inference, losses, precision
from ditta_jax.algorithm.adaptation import AdaptationSettings
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.students import resize, resize_matrices
from ditta_jax.students.layouts import foreign, weight_layout
from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.parts import Adaptable, join_student, split_student
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import Student
from tests.parity.scene import Scene
from tests.segmenting import segment

Results = dict[str, np.ndarray]


@contextlib.contextmanager
def arithmetic(dtype: str):
    """Matrix products in full precision, 64-bit types where `dtype` asks for them."""
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        yield


def our_student(scene: Scene, dtype: str) -> Student:
    """The scene's student through the converter; call within `arithmetic(dtype)`."""
    config = SegFormerConfig(**scene.architecture)
    student = weight_layout.load(RELEASED, config, scene.weights, "scene").student
    nnx.update(student, precision.cast(nnx.state(student), dtype))
    return student


def forward(scene: Scene, dtype: str) -> Results:
    """Encoder to losses in evaluation mode."""
    with arithmetic(dtype):
        network, graph, encoder = split_student(our_student(scene, dtype))
        frames = jnp.asarray(scene.frames.transpose(0, 2, 3, 1), dtype)
        features = inference.encode(graph, encoder, network, frames)
        memory = contrast.Prototypes(jnp.asarray(scene.prototypes, dtype), jnp.asarray(scene.seen))
        targets = jnp.asarray(scene.label), jnp.asarray(scene.object_ids), memory
        results = _forward(graph, encoder, network, features, targets, scene.input_size)
        results |= {f"encoder level {i}": x for i, x in enumerate(features, start=1)}
        results |= _labels(scene, network, graph, encoder, frames, features)
        results["prototypes"] = results["prototypes"][results.pop("seen")]
        return {key: np.asarray(value) for key, value in results.items()}


@functools.partial(jax.jit, static_argnums=(0, 5))
def _forward(graph, encoder, network, features, targets, input_size):
    label, ids, memory = targets
    student = join_student(graph, encoder, network)
    f = student.embed(features)
    z = student.classify(f)
    u = student.project(f[1])
    sizes = zip(z.shape[1:3], input_size, label.shape, strict=True)
    rho = losses.momentum_reliability(z[1], label.shape, input_size)
    memory, present = contrast.object_prototypes(contrast.normalise(u), rho, ids, memory)
    return {
        "decoder embedding": f,
        "plain logits": z,
        "fused logits": student.fusion(f[1], f[0], z[0]),
        "projection": u,
        "both upsamplings": resize.separable(z[1], *(resize_matrices.chain(*s) for s in sizes)),
        "reliability (contrast)": rho,
        "distillation loss": losses.cross_entropy(z[1], label, input_size),
        "contrastive loss": contrast.contrastive_loss(u, memory.vectors, present, ids),
        "prototypes": memory.vectors,
        "seen": memory.seen,
    }


def _labels(scene, network, graph, encoder, frames, features):
    plain = inference.label_plain(graph, encoder, network, features, scene.size, scene.input_size)
    first = tuple(x[0] for x in features)
    before = inference.previous_frame(graph, encoder, network, first, exists=True)
    _, fused, _ = segment(graph, encoder, network, network, before, frames[1:], scene.size, 0.8)
    return {
        "label (stage A)": plain.label[1],
        "reliability (stage A)": plain.reliability[1],
        "label (stage D)": fused[0],
    }


def step(scene: Scene, dtype: str, first_frame: bool = False, recompute: bool = False) -> Results:
    """One step of `adaptation.adapt`; gradients are read off AdamW's first moment.

    Args:
        scene: the clip.
        dtype: "float32" or "float64".
        first_frame: use the second frame alone, as at t = 0.
        recompute: let the step run the encoder, as with stochastic depth, at a rate next to 0.
    """
    with arithmetic(dtype):
        student = our_student(scene, dtype)
        network, graph, encoder = split_student(student)
        order = (1, 0) if first_frame else (0, 1)  # the frame with the target: 0, or 1
        frames = jnp.asarray(scene.frames[list(order)].transpose(0, 2, 3, 1), dtype)
        has_target = np.array(order) == 1
        warm_up = adaptation.TaughtFrames(
            frames if recompute else inference.encode(graph, encoder, network, frames),
            jnp.asarray(np.stack([scene.label] * 2)),
            jnp.asarray(np.stack([scene.object_ids] * 2)),
            jnp.asarray(has_target),
        )
        state = adaptation.new_state(network, len(scene.seen), jax.random.key(0))
        memory = contrast.Prototypes(jnp.asarray(scene.prototypes, dtype), jnp.asarray(scene.seen))
        state, row = adaptation.adapt(
            state._replace(prototypes=memory),
            graph,
            encoder,
            warm_up,
            Hyperparameters(),
            AdaptationSettings(
                scene.input_size, dropout=0.0, stochastic_depth=1e-30 if recompute else 0.0
            ),
            1,
        )
        return _step_results(graph, encoder, state, row, int(has_target.argmax()))


def _step_results(graph, encoder, state, row, taken) -> Results:
    terms = (row.distill, row.distill_fused, row.contrast)
    results: Results = {
        f"loss/{name}": np.asarray(term[taken])
        for name, term in zip(("distill", "fused", "contrast"), terms, strict=True)
    }
    moments = _first_moments(state)
    gradient = jax.tree.map(lambda m: m / (1 - Hyperparameters().beta1), moments)
    trees = {
        "gradient": state.live._replace(params=gradient),
        "live": state.live,
        "momentum": state.momentum,
    }
    for name, network in trees.items():
        for key, value in released(graph, encoder, network).items():
            if name != "gradient" or "running" not in key:
                results[f"{name}/{key}"] = value
    results["prototypes"] = state.prototypes.vectors[state.prototypes.seen]
    return {key: np.asarray(value) for key, value in results.items()}


def _first_moments(state):
    """AdamW's first moments of all groups, as one tree of parameters."""
    groups = optax.tree_utils.tree_get_all_with_path(state.optimiser, "mu")
    found = {
        path: leaf
        for _, group in groups
        for path, leaf in jax.tree_util.tree_leaves_with_path(group)
    }
    return jax.tree_util.tree_map_with_path(lambda path, _: found[path], state.live.params)


def released(graph: nnx.GraphDef, encoder: nnx.State, network: Adaptable) -> Results:
    """A network's arrays by released key, `decode_head` only."""
    arrays = weight_layout.dump(RELEASED, join_student(graph, encoder, network))
    return {key: value for key, value in arrays.items() if key.startswith("decode_head")}


def converted_folder(
    folder: Path, images: np.ndarray, dtype: str
) -> tuple[list[np.ndarray], np.ndarray]:
    """Maps of the four levels and logits of a converted Hugging Face folder.

    Args:
        folder: as `transformers` writes it.
        images: normalised, `[n, H_i, W_i, 3]`.
        dtype: "float32" or "float64".
    """
    with arithmetic(dtype):
        student = foreign.read(folder).loaded.student
        nnx.update(student, precision.cast(nnx.state(student), dtype))
        network, graph, encoder = split_student(student)
        levels = inference.encode(graph, encoder, network, jnp.asarray(images, dtype))
        logits = student.classify(student.embed(levels))
        return [np.asarray(x) for x in levels], np.asarray(logits)
