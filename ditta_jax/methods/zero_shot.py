"""Zero-shot refinement: SAM 2 tracks through the whole video, and its masks take one class each.

What DiTTA (Kim, Kwon, Kweon, Yoon, CVPR 2026) is compared with to show that learning is worth its
while: the same teacher without a student that learns. Objects are prompted on the first frame, at
the frozen student's most reliable pixel of each class; each is tracked to the end of the video and
takes one class by a vote; everywhere else the student's own labels stay. SAM 2 sees every frame,
so that its seconds, which the record tells as `teacher_seconds`, grow with the video.

Chosen here: the vote is DiTTA's (Eq. 4, with its settings) over the warm-up frames, where the
student's labels are known when the rest of the video begins; prompts follow
`teacher.threshold_first` and `teacher.max_objects`; of overlapping masks the one with the higher
vote wins, as in Eq. 5. Objects that come later are the student's alone.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.settings import Settings
from ditta_jax.algorithm.targets import target
from ditta_jax.labels import IGNORE
from ditta_jax.methods.protocol import TRACKS, Frame, Method, Prepared, Scene, WarmUp
from ditta_jax.methods.votes import vote_of
from ditta_jax.students.parts import join_student


@dataclasses.dataclass(frozen=True)
class ZeroShot(Method):
    """The frozen student's labels, and inside tracked objects the class that they voted for."""

    name: ClassVar[str] = "zero_shot"
    title: ClassVar[str] = "zero-shot SAM 2"
    needs: ClassVar[frozenset[str]] = frozenset({TRACKS})

    def draws(self, settings: Settings) -> bool:
        """Nothing."""
        return False

    def prepare(self, model: Model, warm_up: WarmUp, settings: Settings) -> Prepared:
        """The vote; nothing is learnt."""
        assert warm_up.masks is not None
        tracks = warm_up.masks[TRACKS]
        result = vote_of(tracks, warm_up, model.num_classes, settings)
        nowhere = np.full(warm_up.size, IGNORE, np.uint8)

        def classes_of(index: int) -> UInt8[np.ndarray, "H W"]:
            """Class of the object at each pixel of a frame; 255 where there is none."""
            found = target(tracks.decode(index), result, nowhere)  # one frame in memory at a time
            return nowhere if found is None else found.label

        kept = None
        if (result.object_class == IGNORE).all():
            kept = "nothing was refined: the teacher tracked no object that has a class"
        details = {"objects": len(tracks.objects)}
        return Prepared((), kept_frozen=kept, frame_inputs=classes_of, details=details)

    def step(self, scene: Scene, state, frame: Frame):
        """Label a frame by the student, and by the objects on it."""
        student = join_student(scene.graph, scene.encoder, scene.network)
        label = inference.label_frame(student, frame.features, *scene.fixed[:2])
        return state, jnp.where(frame.own == IGNORE, label, frame.own)


METHOD = ZeroShot()
