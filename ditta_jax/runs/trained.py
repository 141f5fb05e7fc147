"""The student trained on labelled clips, for the method that needs one (`supervised`)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ditta_jax.algorithm import precision
from ditta_jax.errors import UserError
from ditta_jax.methods.protocol import TRAINED, Method
from ditta_jax.students import checkpoint
from ditta_jax.students.card import FUSION, StudentCard
from ditta_jax.students.parts import Adaptable, split_student
from ditta_jax.students.student import Student


class Trained(NamedTuple):
    """A student whose temporal fusion was trained.

    Attributes:
        network: all of it.
        fingerprint: of its weights.
    """

    network: Adaptable
    fingerprint: str


def trained_of(
    config: Any,
    student: Student,
    card: StudentCard,
    methods: Mapping[str, Method],
    compute: str,
) -> Trained | None:
    """Load the student that `student.supervised` names; None where no method needs one.

    Args:
        config: `config.student`.
        student: the run's own.
        card: what its checkpoint says of it.
        methods: of the run.
        compute: dtype of activations.

    Raises:
        UserError: its fusion was never trained, or it has other sizes or classes than the run's.
    """
    if not any(TRAINED in method.needs for method in methods.values()):
        return None
    found, own = student, card
    if config.supervised:
        found, own = checkpoint.load(config.supervised)
    if own.source.get(FUSION) != "trained":
        raise UserError(
            f"student.supervised: {config.supervised or config.checkpoint} has a temporal fusion "
            "that was never trained; train a student on labelled clips: python -m "
            "ditta_jax.pretrain --config FILE --config.train.clips=True"
        )
    if own.config != card.config or own.classes != card.classes:
        raise UserError(
            f"student.supervised: {config.supervised} has other sizes or classes than "
            f"student.checkpoint ({config.checkpoint}); train it from that one: "
            "train.initial_checkpoint"
        )
    network, _, _ = split_student(found, "all")
    if compute == "float64":
        network = precision.cast(network, compute)
    return Trained(network, checkpoint.fingerprint(found))
