"""What the teacher is told of a video: where each class is most reliable on each frame."""

from ditta_jax.methods.protocol import WarmUp
from ditta_jax.teacher.records import Request, class_peaks


def request_of(
    warm_up: WarmUp,
    names: tuple[str, ...],
    num_classes: int,
    thresholds: tuple[float, float],
    max_objects: int,
) -> Request:
    """A request to the teacher.

    Args:
        warm_up: stage A's result.
        names: of its frames.
        num_classes: C.
        thresholds: peak reliability for a prompt on frame 0 and on later frames.
        max_objects: prompted in all, at most.
    """
    peaks = tuple(map(class_peaks, warm_up.labels, warm_up.reliability))
    name, size = warm_up.name, warm_up.size
    return Request(name, names, size, num_classes, peaks, thresholds, max_objects)
