"""What the teacher is told of a video: where each class is most reliable on each frame."""

from ditta_jax.methods.protocol import WarmUp
from ditta_jax.teacher.records import Request, class_peaks, whole_video_request


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


def request_of_tracks(
    warm_up: WarmUp,
    names: tuple[str, ...],
    num_classes: int,
    threshold: float,
    max_objects: int,
) -> Request:
    """A request for tracks over a whole video, prompted on its first frame.

    Args:
        warm_up: stage A's result.
        names: of all frames of the video.
        num_classes: C.
        threshold: peak reliability for a prompt.
        max_objects: prompted in all, at most.
    """
    peaks = class_peaks(warm_up.labels[0], warm_up.reliability[0])
    size = warm_up.size
    return whole_video_request(
        warm_up.name, names, size, num_classes, peaks, threshold, max_objects
    )
