"""The folder of a run, written so that an interrupted run goes on with the next video.

<run>/config.json                       the settings
<run>/videos/<video>.json               a finished video: its scores and seconds, what they follow
                                        from, digests of its files; checksummed
<run>/losses/<video>.jsonl              one line per adaptation step
<run>/losses.jsonl                      those of all videos, once every video is done
<run>/predictions/<video>/<method>/<frame>.png   palette PNGs, pixel value = class index
<run>/overlays/<video>/<frame>.png      pictures to look at
<run>/students/<video>/<method>/        the adapted student, a checkpoint (tta.save)
<run>/result.json                       all of it together, once every video is done
<run>/earlier-<n>/                      what was here and is not of this run: other settings, videos

One run at a time owns the folder, and all in it is of one configuration.
"""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ditta_jax.errors import UserError
from ditta_jax.files import digest_of_file, seal, unseal, write_atomically, writing
from ditta_jax.names import file_name, kept_name
from ditta_jax.runs import lock, record_key, results
from ditta_jax.runs.earlier import Earlier
from ditta_jax.runs.foreign_folder import read_json, refuse_foreign
from ditta_jax.runs.predictions import PredictionWriter
from ditta_jax.runs.record_faults import MasksNow, fault_of_record
from ditta_jax.runs.taken_over import TakenOver, taken_from
from ditta_jax.runs.video_record import VideoRecord

log = logging.getLogger(__name__)

# Where the outputs of a video lie: <run>/<place>/<video><ending>. The record comes first: without
# it the others are leftovers.
_PLACES = {
    "videos": ".json",
    "losses": ".jsonl",
    "predictions": "",
    "overlays": "",
    "film": ".json",
    "students": "",
    "tensorboard": "",
}
_OF_ALL_VIDEOS = ("result.json", "losses.jsonl", "report.html", "tensorboard-results")
_PICTURES = ("overlays", "page", "video")  # settings of `report`
# Settings that do not make another run of it.
_WHERE = ("name", "output", "parallel", "report", "train", "profile", "compare")


class RunFolder:
    """Reads and writes the folder of one run; nothing is touched before `opened`.

    Args:
        path: the folder.
        config: the settings as nested dicts of JSON values (`ConfigDict.to_dict()`).
        classes: names of the classes that are scored.
        palette: RGB of each class.
    """

    def __init__(
        self,
        path: str | Path,
        config: Mapping[str, Any],
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
    ) -> None:
        self.path = Path(path)
        self.classes = tuple(classes)
        self._config = dict(config)
        self._palette = palette
        self._earlier = Earlier(self.path)

    @contextmanager
    def opened(self, videos: Collection[str]) -> Iterator["RunFolder"]:
        """Own the folder, and leave in it only what may be of this run.

        Args:
            videos: names of the run's videos.

        Raises:
            UserError: another run owns it, it holds files of something else, it is not writable.
        """
        refuse_foreign(self.path)
        with lock.FolderLock(self.path):
            self.make_own(videos)
            yield self

    def make_own(self, videos: Collection[str]) -> None:
        """Leave in the folder, whose lock is held, only what may be of this run; see `opened`."""
        config = read_json(self.path / "config.json")
        if config is not None and _same_run(config) != _same_run(record_key.plain(self._config)):
            self._set_aside_summary("config.json")
        strangers = list(self._strangers({file_name(video) for video in videos}))
        if strangers:
            self._set_aside_summary("config.json")
            self._earlier.keep(strangers)
            names = {path.name for path in strangers if path.parent.name == "videos"}
            log.warning(
                "%s: what is of other videos (%s) is now in %s",
                self.path,
                ", ".join(sorted(name.removesuffix(".json") for name in names)) or "unfinished",
                self._earlier.name,
            )
        write_atomically(self.path / "config.json", _json(self._config))

    def let_others_in(self) -> None:
        """Other processes of this run write here from now on."""
        self._earlier.alone = False

    def check_same(self) -> None:
        """See that process 0 of this run, which has made the folder its own, has these settings.

        Raises:
            UserError: it has others.
        """
        config = read_json(self.path / "config.json") or {}
        if _same_run(config) != _same_run(record_key.plain(self._config)):
            raise UserError(
                f"{self.path / 'config.json'}: process 0 of this run has other settings; start all "
                "processes with the same ones"
            )

    # ------------------------------------------------------------------------ finished videos

    def load_finished(
        self,
        video: str,
        parts: Mapping[str, Any],
        masks_now: MasksNow = lambda entry: None,
    ) -> VideoRecord | None:
        """The record of a video this run has finished, or None, with a word that says why.

        Where it is None, nothing of the video is left in the folder: what is of another run is set
        aside, and what an interrupted attempt left is removed.

        Args:
            video: the video's name.
            parts: what its result follows from (`record_key`).
            masks_now: the digest of the teacher's masks in an entry of the cache, by its name;
                None where they are no longer there.
        """
        parts = record_key.plain(parts)
        fault = self._fault(self.path, video, parts, masks_now)
        if fault is not None:
            self._set_aside(video, fault)
            if not self._bring_back(video, parts, masks_now):
                return None
        content = unseal(self._record(self.path, video).read_bytes())
        if fewer := _fewer(content.get("asked", {}), self._asked()):
            log.warning(
                "%s: finished before with %s; its pictures stay as they were drawn then, remove %s "
                "to have it done again",
                *(video, fewer, self._record(self.path, video)),
            )
        return VideoRecord.from_json(content)

    def take_over(
        self,
        video: str,
        followed: Mapping[str, str],
        masks_now: MasksNow = lambda entry: None,
    ) -> TakenOver | None:
        """What holds of records that are set aside, of the one of which most methods do.

        Args:
            video: the video's name, of which `load_finished` found no record.
            followed: of each method of the run, the digest of what it follows from.
            masks_now: as in `load_finished`.
        """
        students, report = self._asked()["tta.save"], self._config.get("report", {})
        labels = any(report.get(name, True) for name in ("predictions", *_PICTURES))
        asked = (video, followed, masks_now, students, labels)
        found = [taken_from(folder, *asked) for folder in self._earlier.folders()]
        best = max(filter(None, found), key=lambda own: len(own.methods), default=None)
        if best is not None:
            kept = ", ".join(method for method in followed if method in best.methods)
            log.warning("%s: %s as before, from %s", video, kept, best.folder.name)
        return best

    def save_finished(
        self,
        record: VideoRecord,
        parts: Mapping[str, Any],
        masks: Mapping[str, str] | None = None,
        followed: Mapping[str, str] | None = None,
    ) -> None:
        """Mark a video as done; call it last, after its predictions and losses are written.

        Args:
            record: the video.
            parts: as in `load_finished`.
            masks: digest of the teacher's masks in each of its entries in the cache, by name.
            followed: as in `take_over`.
        """
        content = record.to_json() | {
            "parts": record_key.plain(parts),
            "masks": dict(masks or {}),
            "followed": dict(followed or {}),
            "files": self._digests(record.name),
            "asked": self._asked(),
        }
        write_atomically(self._record(self.path, record.name), seal(content))

    def read_finished(self, video: str) -> VideoRecord:
        """The record of a video that this run has finished, in another process or before.

        Raises:
            UserError: it is gone or damaged.
        """
        path = self._record(self.path, video)
        try:
            return VideoRecord.from_json(unseal(path.read_bytes()))
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path}: {error}; run the same command again") from None

    def _fault(
        self, base: Path, video: str, parts: Mapping[str, Any], masks_now: MasksNow
    ) -> str | None:
        """Why the record of a video is not to be used; None if it is, empty if there is none."""
        save, report = self._asked()["tta.save"], self._config.get("report", {})
        return fault_of_record(base, self._record(base, video), parts, masks_now, save, report)

    def _asked(self) -> dict[str, Any]:
        """The settings that say which files of a video are written, by name."""
        report = self._config.get("report", {})
        pictures = {name: report[name] for name in _PICTURES if name in report}
        asked = {f"report.{name}": int(value) for name, value in pictures.items()}
        return asked | {"tta.save": bool(self._config.get("tta", {}).get("save", False))}

    # ------------------------------------------------------------------------ outputs of a video

    def prediction_writer(self, video: str) -> PredictionWriter:
        """A writer of the video's predictions: `with … as writer: writer.write(frame, map)`."""
        return PredictionWriter(self.path / "predictions" / file_name(video), self._palette)

    def overlay_file(self, video: str, frame_name: str) -> Path:
        """Where the overlay of a frame goes."""
        return self.path / "overlays" / file_name(video) / kept_name(frame_name, ".png")

    def overlay_video_file(self, video: str) -> Path:
        """Where the overlay video goes."""
        return self.path / "overlays" / file_name(video) / "overlay.mp4"

    def film_file(self, video: str) -> Path:
        """Where what the page shows of a video goes."""
        return self.path / "film" / f"{file_name(video)}.json"

    @property
    def page_file(self) -> Path:
        """Where the page goes."""
        return self.path / "report.html"

    def student_folder(self, video: str, method: str) -> Path:
        """Where a method's adapted student of a video goes."""
        return self.path / "students" / file_name(video) / method

    def write_losses(self, video: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the video's steps, one line each.

        Args:
            video: the video's name.
            rows: one mapping per step: method where there are several, pass, frame, and the terms.
                A term that does not exist is NaN or None, and null in the file.
        """
        lines = [json.dumps({"video": video} | results.without_nan(row)) + "\n" for row in rows]
        write_atomically(self._losses(video), "".join(lines).encode())

    def write_result(
        self, records: Sequence[VideoRecord], failures: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Write losses.jsonl and result.json from all videos; returns the latter's content.

        Args:
            records: of the videos that are done.
            failures: of those that are not, what a person was told.
        """
        losses = [self._losses(record.name) for record in records]
        data = b"".join(path.read_bytes() for path in losses if path.is_file())
        write_atomically(self.path / "losses.jsonl", data)
        result = results.result(records, self.classes, self._config, failures)
        write_atomically(self.path / "result.json", _json(result))
        return result

    # ------------------------------------------------------------------------ what is where

    def _record(self, base: Path, video: str) -> Path:
        return base / "videos" / f"{file_name(video)}.json"

    def _losses(self, video: str) -> Path:
        return self.path / "losses" / f"{file_name(video)}.jsonl"

    def _outputs(self, base: Path, video: str) -> list[Path]:
        """Files and folders of a video that exist, its record first."""
        paths = [base / place / (file_name(video) + end) for place, end in _PLACES.items()]
        return [path for path in paths if path.is_symlink() or path.exists()]

    def _strangers(self, known: set[str]) -> Iterator[Path]:
        """Files and folders of other videos, their records first."""
        for place, ending in _PLACES.items():
            folder = self.path / place
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                ours = path.name.endswith(ending) and not path.name.startswith(".")
                if ours and path.name.removesuffix(ending) not in known:
                    yield path

    def _digests(self, video: str) -> dict[str, str]:
        """Digests of all files of a video, by their path in the run."""
        files: list[Path] = []
        for path in self._outputs(self.path, video):
            files += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        return {
            path.relative_to(self.path).as_posix(): digest_of_file(path)
            for path in files
            if path.relative_to(self.path).parts[0] not in ("videos", "tensorboard")
        }

    # ------------------------------------------------------------------------ of another run

    def _set_aside(self, video: str, fault: str) -> None:
        """Take a video's outputs away: those of a record are kept, leftovers of ours removed."""
        if not fault:
            _remove_leftovers(self._outputs(self.path, video))
        outputs = self._outputs(self.path, video) if fault else []
        self._earlier.keep(outputs)
        self._set_aside_summary()
        if fault:
            log.warning(
                "%s: computed again: %s; the earlier one is in %s", video, fault, self._earlier.name
            )

    def _bring_back(self, video: str, parts: dict[str, Any], masks_now: MasksNow) -> bool:
        """Whether an earlier run of the same settings had finished the video: it is back then."""
        for folder in self._earlier.folders():
            if self._fault(folder, video, parts, masks_now) is None:
                record, *others = self._outputs(folder, video)
                self._earlier.bring_back(folder, [*others, record])
                log.warning(
                    "%s: finished before under the same settings, back from %s", video, folder.name
                )
                return True
        return False

    def _set_aside_summary(self, *with_: str) -> None:
        """What is said of all videos does not hold where one of them is computed again."""
        if (self.path / "result.json").exists():
            paths = [self.path / name for name in (*with_, *_OF_ALL_VIDEOS)]
            self._earlier.keep([path for path in paths if path.exists()])


def _fewer(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The settings of which a run now wants more than an earlier one did, as they were."""
    return ", ".join(f"{n}={before[n]}" for n, value in now.items() if before.get(n, value) < value)


def _remove_leftovers(outputs: Iterable[Path]) -> None:
    """Remove what an interrupted attempt wrote, and nothing else that may lie there."""
    for path in outputs:
        if path.is_symlink() or path.parent.name in ("students", "tensorboard"):
            continue  # not ours; replaced as a whole
        with writing(path):
            if path.is_file():
                path.unlink()
                continue
            for picture in path.rglob("*"):
                if picture.suffix in (".png", ".partial") and not picture.is_dir():
                    picture.unlink()


def _same_run(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _WHERE}


def _json(content: Any) -> bytes:
    return (json.dumps(results.without_nan(content), indent=2) + "\n").encode()
