"""What a training starts from where that is not a fresh student."""

import dataclasses
from pathlib import Path

import jax
from flax import nnx

from ditta_jax.students import checkpoint
from ditta_jax.students.layouts import foreign
from ditta_jax.students.student import Student, fill, new_student


def start_from(
    path: str, classes: int, embed_dim: int, heads: tuple[int, ...] | None, seed: int
) -> Student:
    """A student with the weights of an earlier one, or with the encoder of another program.

    Args:
        path: a checkpoint, "embedded", or a file or Hugging Face folder of another program.
        classes: of the training; what has another size in a checkpoint with others is fresh.
        embed_dim: channels of the embedding behind a foreign encoder.
        heads: attention heads per level of a foreign encoder; None: 1, 2, 5, 8.
        seed: of fresh weights.

    Raises:
        UserError: there is neither at `path`.
    """
    if checkpoint.is_one(path):
        return _from_checkpoint(path, classes, seed)
    return foreign.read_encoder(Path(path), classes, embed_dim, heads, seed).student


def _from_checkpoint(path: str, classes: int, seed: int) -> Student:
    student, card = checkpoint.load(path)
    if card.config.num_classes == classes:
        return student
    fresh = new_student(dataclasses.replace(card.config, num_classes=classes), seed)
    trained, other = (nnx.to_pure_dict(nnx.state(one)) for one in (student, fresh))
    same = jax.tree.map(lambda old, new: old if old.shape == new.shape else new, trained, other)
    return fill(fresh, same)
