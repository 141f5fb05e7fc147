"""What the system refuses to write is one line with path and reason, and a rerun goes on."""

import errno
import os

import numpy as np
import pytest

from ditta_jax import files
from ditta_jax.errors import UserError
from ditta_jax.runs.run_folder import RunFolder
from tests.runs.test_run_folder import CLASSES, CONFIG, PALETTE, PARTS, compute, content, whole_run

AREA = "Run folders"
REFUSALS = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EIO]
PLACES = ["config.json", "losses/v.jsonl", "predictions/v", "videos/v.json", "result.json"]


def refused(path):
    with pytest.raises(UserError) as caught:
        whole_run(path)
    message = str(caught.value)
    assert "\n" not in message and "cannot be written: " in message
    return message


@pytest.mark.robustness(AREA, "disk full, quota, read-only, no right", "one line; a rerun goes on")
@pytest.mark.parametrize("number", REFUSALS, ids=lambda n: errno.errorcode[n])
@pytest.mark.parametrize("place", PLACES)
def test_a_refusal_is_one_line_and_a_rerun_goes_on(tmp_path, monkeypatch, said, place, number):
    whole_run(tmp_path / "whole")
    put = files._put

    def refuse(path, data, sync):
        if place in path.as_posix():
            raise OSError(number, os.strerror(number), str(path))
        put(path, data, sync)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_put", refuse)
        message = said(refused(tmp_path / "run"))
    assert f"/run/{place}" in message and os.strerror(number) in message
    assert not (tmp_path / "run" / "result.json").exists()
    whole_run(tmp_path / "run")
    assert content(tmp_path / "run") == content(tmp_path / "whole")


@pytest.mark.robustness(AREA, "a file where a folder is to be", "named; a rerun goes on without it")
@pytest.mark.parametrize("place", ["losses", "predictions", "videos", "predictions/v"])
def test_a_file_in_the_way_is_named(tmp_path, said, place):
    with RunFolder(tmp_path / "run", CONFIG, CLASSES, PALETTE).opened(["v"]):
        (tmp_path / "run" / place).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / place).write_text("mine")
    if place == "predictions/v":  # a leftover under the name of an output is ours to remove
        assert whole_run(tmp_path / "run") == ["v"]
        return
    assert f"run/{place} is a file and not a folder; move it away" in said(
        refused(tmp_path / "run")
    )
    assert (tmp_path / "run" / place).read_text() == "mine"
    (tmp_path / "run" / place).unlink()
    assert whole_run(tmp_path / "run") == ["v"]


@pytest.mark.robustness(AREA, "a folder where a file is to be", "named")
@pytest.mark.parametrize("place", ["result.json", "losses.jsonl", "config.json"])
def test_a_folder_in_the_way_is_named(tmp_path, said, place):
    with RunFolder(tmp_path / "run", CONFIG, CLASSES, PALETTE).opened(["v"]) as run:
        run.load_finished("v", PARTS)
        compute(run, "v")
    (tmp_path / "run" / place).unlink(missing_ok=True)
    (tmp_path / "run" / place).mkdir()
    with pytest.raises(UserError) as caught:
        whole_run(tmp_path / "run")
    assert str(tmp_path / "run") in said(str(caught.value)) and "\n" not in str(caught.value)


@pytest.mark.robustness(AREA, "names that are too long for the disk", "named before any work")
def test_a_name_that_is_too_long_is_named(tmp_path, said):
    message = said(refused(tmp_path / ("x" * 300)))
    assert "File name too long; shorten it" in message


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refused(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)


def test_pictures_are_written_without_waiting_for_the_disk(tmp_path, monkeypatch):
    synced, listed = [], []
    monkeypatch.setattr(files.os, "fsync", synced.append)
    monkeypatch.setattr(files, "remove_stale_partials", listed.append)
    with RunFolder(tmp_path, CONFIG, CLASSES, PALETTE).opened(["v"]) as run:
        before = len(synced), len(listed)
        with run.prediction_writer("v") as writer:
            for t in range(30):
                writer.write(str(t), np.zeros((3, 4), np.uint8))
        assert (len(synced), len(listed)) == before
