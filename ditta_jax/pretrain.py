"""Train a student on labelled stills, or with its temporal fusion on labelled clips.

    python -m ditta_jax.pretrain --config configs/pretrain_demo.py

Encoder, decoder and classifier learn by cross entropy; the projection head and the temporal fusion
keep their fresh weights, as DiTTA starts them. With `train.clips` pairs of consecutive frames are
learnt from, by both branches, and the fusion learns too: a student for the method `supervised`. An
interrupted training goes on where its last checkpoint is. Results: `<output>/<name>/student` (use
it as `student.checkpoint`), and `training.jsonl` with losses and validation scores.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Int, PyTree, UInt8
from ml_collections import ConfigDict

from ditta_jax.algorithm import precision
from ditta_jax.algorithm.pretraining import loss_of_clips, loss_of_stills
from ditta_jax.configuration import from_command_line
from ditta_jax.errors import UserError, run
from ditta_jax.files import write_atomically, writing
from ditta_jax.runs import lock
from ditta_jax.runs.training_log import TrainingLog
from ditta_jax.students import checkpoint, destination, families, start
from ditta_jax.students.card import FUSION
from ditta_jax.students.parts import Adaptable, join_student, remembered, split_student
from ditta_jax.students.protocol import StudentConfig
from ditta_jax.students.resize import bilinear
from ditta_jax.students.student import Student, new_student

WHOLE: nnx.State = nnx.State({})  # what of a student stays as it is: nothing, all of it is trained


# Settings that may change between the parts of a training that was interrupted.
_NO_MATTER = ("log_every", "checkpoint_every", "validation_split", "paths")


class TrainState(NamedTuple):
    """What a training step changes.

    Attributes:
        network: all parameters and running statistics of the student.
        optimiser: state of `make_optimiser`.
        step: Int[Array, ""], steps done.
    """

    network: Adaptable
    optimiser: PyTree
    step: Int[Array, ""]


def make_optimiser(train: ConfigDict) -> optax.GradientTransformation:
    """AdamW with linear warm-up and cosine decay."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, train.lr, train.warmup_steps, train.steps, end_value=train.lr * 0.01
    )
    return optax.chain(
        optax.clip_by_global_norm(5.0),
        optax.adamw(
            schedule,
            weight_decay=train.weight_decay,
            mask=functools.partial(_decayed, bool(train.clips)),
        ),
    )


def _decayed(clips: bool, params: PyTree) -> PyTree:
    """Which weights decay: kernels, but not those without a loss, which are to stay fresh."""
    without_loss = {"projection"} if clips else {"projection", "fusion"}

    def decays(path, x):
        return x.ndim > 1 and not without_loss & {getattr(k, "key", k) for k in path}

    return jax.tree_util.tree_map_with_path(decays, params)


@functools.partial(
    jax.jit, static_argnames=("graph", "optimiser", "rates"), donate_argnames="state"
)
def train_step(state, frames, labels, key, *, graph, optimiser, rates):
    """One step on a batch; the key of a step is folded from its number, so resuming is exact."""
    key = jax.random.fold_in(key, state.step)

    def loss(params):
        student = join_student(graph, WHOLE, state.network._replace(params=params))
        loss_of = loss_of_stills if frames.ndim == 4 else loss_of_clips
        value = loss_of(student, frames, labels, key, *rates)
        return value, remembered(student, state.network)

    (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(state.network.params)
    with jax.numpy_dtype_promotion("standard"):  # optax takes powers of floats by counts
        updates, moments = optimiser.update(gradient, state.optimiser, state.network.params)
    params = optax.apply_updates(state.network.params, updates)
    return TrainState(Adaptable(params, statistics), moments, state.step + 1), value


@functools.partial(jax.jit, static_argnames="graph")
def predict(graph: nnx.GraphDef, network: Adaptable, frames) -> UInt8[Array, "b H W"]:
    """Labels of a batch in evaluation mode, at the size of the network's input."""
    student = join_student(graph, WHOLE, network)
    z = student.classify(student.embed(student.encode(frames)))
    return bilinear(z, frames.shape[1:3]).argmax(-1).astype(jnp.uint8)


# ---------------------------------------------------------------------------- the training


def main() -> None:
    """Read the settings, train, write the student."""
    from ditta_jax.data.clips import clips
    from ditta_jax.data.stills import stills
    from ditta_jax.runs.palette import distinct_colors

    config, _ = from_command_line("ditta_jax.pretrain")
    classes, palette = _classes(config)
    palette = palette or distinct_colors(len(classes))
    train = config.train
    if any(train.paths) and config.data.kind != "folder":
        raise UserError(f"train.paths: goes with data.kind=folder, not {config.data.kind!r}")
    if config.data.kind == "tfds" and train.validation_split:
        stills(config.data, train.validation_split)  # refused now rather than after the training
    where = train.split, train.paths, len(classes)
    source = clips(config.data, *where) if train.clips else stills(config.data, *where)
    if len(source) == 0:
        raise UserError("data: no labelled stills to train on")
    folder = Path(config.output) / config.name
    _refuse_foreign(folder)
    with lock.FolderLock(folder):
        with precision.policy(**config.precision):
            student, step = fit(config, source, len(classes), folder)
        card = checkpoint.StudentCard(student.config, classes, palette, _source(config, step))
        checkpoint.save(folder / "student", student, card)
    print(f"student written to {folder / 'student'}")


def _source(config: ConfigDict, steps: int) -> dict:
    """What the student's card says of where it came from."""
    return {
        "command": "python -m ditta_jax.pretrain",
        "name": config.name,
        "steps": steps,
        "seed": config.seed,
        **({FUSION: "trained"} if config.train.clips else {}),
        "train": config.train.to_dict(),
        "data": config.data.to_dict(),
    }


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds something and no training."""
    with writing(folder):
        inside = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    if "architecture.json" not in inside:
        destination.refuse_foreign(folder, {lock.NAME})
    checkpoint.refuse_destination(folder / "student")


def _classes(config: ConfigDict):
    from ditta_jax.data.tfds_videos import data_classes

    known = data_classes(config.data)
    if any(config.classes):
        return tuple(config.classes), config.palette if len(config.palette) > 1 else ()
    if known is None:
        raise UserError("classes: name the classes of the labels, e.g. classes=('road', 'sky')")
    return known


def fit(config: ConfigDict, source, num_classes: int, folder: Path) -> tuple[Student, int]:
    """Train on `source` under `config.train`, going on from the last checkpoint in `folder`.

    Args:
        config: the whole configuration.
        source: indexable, (frame UInt8["H W 3"], label UInt8["H W"]); of clips, the frame before
            comes first.
        num_classes: C.
        folder: for checkpoints and the log.

    Returns:
        the trained student and the number of steps.
    """
    from ditta_jax.data.augment import batches

    train = config.train
    student = _start(config, num_classes)
    _refuse_another_training(folder / "architecture.json", student.config, config)
    network, graph, _ = split_student(student, "all")
    optimiser = make_optimiser(train)
    state = TrainState(network, optimiser.init(network.params), jnp.zeros((), jnp.int32))
    with _Checkpoints(folder / "training", train.checkpoint_every) as checkpoints:
        state = checkpoints.newest(state)
        first = int(state.step)
        log = TrainingLog(folder / "training.jsonl", first, train)
        key = jax.random.key(config.seed)
        feed = batches(source, train.crop, train.batch_size, config.seed, first)
        rates = (train.stochastic_depth, train.dropout)
        for step in range(first, train.steps):
            frames, labels = next(feed)
            state, loss = train_step(
                state, frames, labels, key, graph=graph, optimiser=optimiser, rates=rates
            )
            log.step(step + 1, loss)
            checkpoints.keep(step + 1, state)
        checkpoints.keep(train.steps, state, always=True)
    score = validate(config, graph, state.network, num_classes)
    if score is not None:
        log.write({"step": int(state.step), "validation_mIoU": score})
        print(f"validation mIoU {100 * score:.1f} on {train.validation_split}")
    return join_student(graph, WHOLE, state.network), int(state.step)


def _refuse_another_training(file: Path, sizes: StudentConfig, config: ConfigDict) -> None:
    """Note student and settings in the folder of a training, or find the same ones noted there.

    Orbax notices other shapes too, but only in the midst of reading, with a flood of messages; and
    nothing else would notice that the second half of a training has another rate than the first.
    """
    training = {k: v for k, v in config.train.to_dict().items() if k not in _NO_MATTER}
    if not training["clips"]:
        del training["clips"]  # as trainings were noted before there were clips
    own = {
        "family": families.name_of(sizes),
        **dataclasses.asdict(sizes),
        "training": training | {"seed": config.seed},
    }
    text = json.dumps(own, indent=1) + "\n"
    before, now = _read_noted(file), json.loads(text)
    if before and any(before[key] != now.get(key) for key in before):
        raise UserError(
            f"{file}: a training with other settings; change `name` or remove the folder"
        )
    write_atomically(file, text.encode())


def _read_noted(file: Path) -> dict:
    """What an earlier call noted; empty if there was none."""
    try:
        noted = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        noted = None
    if not isinstance(noted, dict):
        raise UserError(f"{file}: damaged; remove it to go on with the training beside it")
    return noted


def _start(config: ConfigDict, num_classes: int) -> Student:
    train = config.train
    if train.initial_checkpoint:
        return start.start_from(
            train.initial_checkpoint, num_classes, train.embed_dim, train.heads, config.seed
        )
    sizes = families.sizes(train.family, num_classes, train)
    return new_student(sizes, config.seed)


def validate(
    config: ConfigDict, graph: nnx.GraphDef, network: Adaptable, num_classes: int
) -> float | None:
    """MIoU on the validation split; None where there is none (folders)."""
    from ditta_jax.data.preprocess import to_input
    from ditta_jax.data.stills import stills
    from ditta_jax.metrics.scores import VideoScores

    split = config.train.validation_split
    if config.data.kind != "tfds" or not split:
        return None
    scores = VideoScores(num_classes)
    for frame, label in stills(config.data, split):
        image = to_input(frame, config.input.scale, config.input.divisor)
        prediction = np.asarray(predict(graph, network, image[None])[0])
        if prediction.shape != label.shape:
            import cv2

            prediction = cv2.resize(prediction, label.shape[::-1], interpolation=cv2.INTER_NEAREST)
        scores.update(prediction, label)
    return float(scores.finish().result()["mIoU"])


class _Checkpoints:
    """The newest two states of a training, through Orbax."""

    def __init__(self, folder: Path, every: int):
        import orbax.checkpoint as ocp

        self._ocp = ocp
        options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self._every = every

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._writing(0):
            self._manager.wait_until_finished()
            self._manager.close()

    def newest(self, like: TrainState) -> TrainState:
        """The last state saved, or `like` where there is none."""
        step = self._manager.latest_step()
        if step is None:
            return like
        args = self._ocp.args.StandardRestore(_as_dicts(like))
        try:
            found = self._manager.restore(step, args=args)
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{self._manager.directory}: a training with other settings; change `name` or "
                "remove the folder"
            ) from error
        print(f"going on from step {step}")
        return TrainState(**found | {"network": Adaptable(**found["network"])})

    def keep(self, step: int, state: TrainState, always: bool = False) -> None:
        """Save every so many steps, and always at the end."""
        due = step % self._every == 0 or always
        if due and self._manager.latest_step() != step:
            self._refuse_not_finite(state)
            with self._writing(sum(leaf.nbytes for leaf in jax.tree.leaves(state))):
                self._manager.save(step, args=self._ocp.args.StandardSave(_as_dicts(state)))

    def _refuse_not_finite(self, state: TrainState) -> None:
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state.network)):
            raise UserError(
                f"{self._manager.directory}: weights are not finite after step {int(state.step)}; "
                "lower train.lr or raise train.warmup_steps, and change `name` or remove the folder"
            )

    def _writing(self, size: int):
        folder = Path(self._manager.directory)
        return destination.orbax_writing(folder, size, folder)


def _as_dicts(state: TrainState) -> dict:
    return state._asdict() | {"network": state.network._asdict()}


if __name__ == "__main__":
    run(main)
