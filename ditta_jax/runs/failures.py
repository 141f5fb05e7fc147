"""Videos that could not be done, with what a person is told; the others go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ditta_jax.errors import UserError, WriteError
from ditta_jax.runs import memory


class Failures(dict[str, str]):
    """Messages by video.

    Args:
        say: told each message as it comes.
    """

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        super().__init__()
        self._say = say

    @contextmanager
    def of(self, *videos: str) -> Iterator[None]:
        """Work on videos: a `UserError` in it is theirs, and too little memory.

        What cannot be written ends the run.
        """
        try:
            with memory.told_if_short():
                yield
        except WriteError:
            raise
        except UserError as error:
            for video in videos:
                self.add(video, str(error))

    def add(self, video: str, message: str) -> None:
        """Note that a video could not be done."""
        message = " ".join(message.split())
        own = message if message.startswith(video) else f"{video}: {message}"
        self[video] = message
        self._say(f"failed: {own}")
