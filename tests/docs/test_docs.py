"""The pages: they build, their Python runs, and their commands are commands of this program."""

import functools
import importlib.util
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import ditta_jax
from ditta_jax import __main__ as program
from ditta_jax.configuration import checked
from ditta_jax.configuration.command_line import parse
from ditta_jax.configuration.schema import flat
from ditta_jax.configuration.settings_page import page
from ditta_jax.configuration.shipped import shipped
from ditta_jax.data.images import encode_png
from ditta_jax.students import checkpoint, families
from ditta_jax.students.card import StudentCard
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.cache import write_masklets, write_request
from ditta_jax.teacher.records import Masklets, Request, class_peaks
from tests.docs import format_tables, schemas
from tests.docs.messages import messages
from tests.docs.schemas import DOCS
from tests.runs.page.made_up_run import SIZE, frame_at, labels_at, write_run

REPOSITORY = DOCS.parent
PAGES = sorted([*DOCS.glob("*.md"), REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OURS = r"(?:ditta-jax|python -m (?:ditta_jax|teacher_bridge))"
INDENTED = re.compile(rf"^    ({OURS}\b.*)$", re.MULTILINE)
SPOKEN = re.compile(rf"`({OURS}[^`]*)`")
FILE = re.compile(r"`((?:ditta_jax|teacher_bridge|tests|configs)/[\w/.]+\.\w+)`")


def blocks(language):
    for path in PAGES:
        for number, (kind, text) in enumerate(BLOCK.findall(path.read_text())):
            if kind == language:
                # what adapts at users' size computes for longer than it compiles
                marks = [pytest.mark.optimised] if "adapt_student" in text else []
                yield pytest.param(text, id=f"{path.name}-{number}", marks=marks)


def commands():
    """Every command of this program on any page, with continued lines joined."""
    found = {}
    for path in PAGES:
        text = path.read_text().replace("\\\n", " ")
        lines = [
            line
            for kind, block in BLOCK.findall(text)
            if kind == "console"
            for line in block.splitlines()
        ]
        for line in [*lines, *INDENTED.findall(text), *SPOKEN.findall(text)]:
            line = line.partition(" #")[0].partition(" > ")[0].strip()
            if re.match(OURS, line):
                found.setdefault(" ".join(line.split()), path.name)
    return [pytest.param(line, id=f"{page}: {line}") for line, page in found.items()]


@pytest.mark.parametrize("text", list(blocks("python")))
def test_python_on_the_pages_runs(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    names = {"__name__": "page"}
    exec(compile(text, "page", "exec"), names)
    if "get_config" in names:
        checked(names["get_config"](), "page")
    if "ConvConfig" in names:  # a family of one's own: it goes where students go
        card = StudentCard(names["student"].config, ("a", "b", "c"), ((0, 0, 0),) * 3, {})
        checkpoint.save(tmp_path / "student", names["student"], card)
        loaded, _ = checkpoint.load(str(tmp_path / "student"))
        assert checkpoint.fingerprint(loaded) == checkpoint.fingerprint(names["student"])
    if "METHOD" in names:
        check_steady(names["METHOD"])
    if {"unsealed", "masks", "scores"} & names.keys():
        read_files(names, tmp_path)
    if "videos" in names:  # found in folders
        assert names["videos"].names == ("street",) and names["video"].size == (48, 80)
        assert capsys.readouterr().out == "('street',)\n(48, 80) 2 [True, False]\n"
    elif "table" in names:  # of classes that differ
        assert capsys.readouterr().out == "('street',) [0 0 1]\n"
    elif hasattr(names.get("video"), "labels"):  # a data set of one's own
        video = names["video"]
        assert video.frames[3].shape == (*video.size, 3) and len(video.labels) == 8
        assert video.frames.encoded(0).startswith(b"\x89PNG")


def read_files(names, folder):
    """The page's readers on files that the program writes."""
    entry = write_entry(folder / "cache")
    if "unsealed" in names:
        file = entry / "request.json"
        assert names["unsealed"](file)["num_classes"] == 3
        file.write_bytes(file.read_bytes().replace(b'"num_classes": 3', b'"num_classes": 4'))
        with pytest.raises(ValueError, match=r"request\.json: cut off or changed"):
            names["unsealed"](file)
    if "masks" in names:
        found = names["masks"](entry)
        assert [list(frame) for frame in found] == [[1], [1]]
        assert all((found[t][1] == (labels_at(t, "frozen") == 1)).all() for t in range(2))
    if "scores" in names:
        run = write_run(folder / "demo")
        told = names["scores"](run)
        assert told.keys() == {"frozen", "ditta"} and told["ditta"][0] > told["frozen"][0] > 0.5
        assert names["losses"](run, "left") == [2.0, 1.0, 2 / 3, 0.5]


def check_steady(method):
    """The page's method on two frames: a label that is seen once is not shown."""
    import jax.numpy as jnp

    from ditta_jax.algorithm import inference
    from ditta_jax.methods.protocol import Fixed, Frame, Scene, WarmUp
    from ditta_jax.students.parts import split_student
    from ditta_jax.students.segformer.config import SegFormerConfig
    from ditta_jax.students.student import new_student

    size = (32, 64)
    sizes = {"channels": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "heads": (1, 1, 1, 1)}
    network, graph, encoder = split_student(new_student(SegFormerConfig(3, **sizes), seed=0))
    scene = Scene(graph, encoder, network, Fixed(size, size, 0.8, False))
    frame = jnp.asarray(np.random.default_rng(0).normal(size=(1, *size, 3)), jnp.float32)
    levels = inference.encode(graph, encoder, network, frame)
    first = np.full((1, *size), 7, np.uint8)
    warm_up = WarmUp("v", [], None, first, np.ones((1, *size)), size, levels)
    state = method.prepare(None, warm_up, None).state
    one = Frame(jax.tree.map(lambda level: level[0], levels), frame[0])
    state, shown = method.step(scene, state, one)
    assert (np.asarray(shown) == 7).all()
    state, shown = method.step(scene, state, one)
    assert (np.asarray(shown) < 3).all()


@pytest.mark.parametrize("line", commands())
def test_commands_on_the_pages_exist_with_their_settings(line):
    """Modules are there, settings are the schema's, options those of the program's own help."""
    words = shlex.split(line)
    if words[0] == "ditta-jax":
        known = {name for name, _, _ in program.COMMANDS} | {"COMMAND", "--help", "--version"}
        assert set(words[1:2]) <= known
        if len(words) < 3 or words[1] == "COMMAND":
            return
        words = ["python", "-m", f"ditta_jax.{words[1]}", *words[2:]]
    module, rest = words[2], words[3:]
    assert module == "ditta_jax.COMMAND" or importlib.util.find_spec(module), module
    if module == "teacher_bridge" and rest[:1] in (["inspect"], ["quality"]):
        module, rest = f"teacher_bridge {rest[0]}", rest[1:]
    settings = {key: own.default for key, own in flat()}
    for word, after in itertools.pairwise([*rest, ""]):
        if word.startswith("--config."):
            key, _, value = word.removeprefix("--config.").partition("=")
            if (key, value) != ("KEY", "VALUE"):
                assert key in settings, f"no setting {key}"
                parse(value, settings[key], word)
        elif word == "--grid":
            assert after.partition("=")[0] in settings
        elif word == "--config" and module.startswith("ditta_jax."):
            here = after == "my.py" or (REPOSITORY / after).is_file()
            assert shipped(after) or here or after == "FILE", after
        elif word.startswith("--") and word not in ("--help", "--config"):
            assert word.partition("=")[0] in help_of(module), f"{module} knows no {word}"


@functools.cache
def help_of(module):
    """What `--help` prints."""
    command = [sys.executable, "-m", *module.split(), "--help"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, timeout=120, check=False
    )
    assert done.returncode == 0, f"{module}: {done.stderr}"
    return done.stdout


def test_the_site_builds_without_a_warning(tmp_path):
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()


def test_the_page_of_settings_is_the_schemas():
    how = "python -m ditta_jax.configuration.settings_page > docs/configuration.md"
    assert (DOCS / "configuration.md").read_text() == page(), f"write it anew: {how}"


def test_links_of_readme_and_contributing_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", (REPOSITORY / name).read_text()):
            assert (REPOSITORY / link).exists(), f"{name}: {link}"


def test_one_version():
    version = re.search(r'^version = "(.*)"$', (REPOSITORY / "pyproject.toml").read_text(), re.M)[1]
    assert f"version: {version}\n" in (REPOSITORY / "CITATION.cff").read_text()
    assert f"## {version}\n" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_the_tables_of_formats_are_the_schemas():
    how = "python -m tests.docs.format_tables"
    assert format_tables.PAGE.read_text() == format_tables.page(), f"write them anew: {how}"
    shown = {name for _, name, _ in format_tables.TABLE.findall(format_tables.PAGE.read_text())}
    assert shown == {file.name.partition(".")[0] for file in (DOCS / "schemas").glob("*.json")}


def test_a_made_up_run_is_as_the_schemas_say(tmp_path):
    schemas.check_run(write_run(tmp_path / "demo"), kinds=("film",))


def write_entry(cache):
    """A teacher's cache with one request of two frames and its answer; the entry's folder."""
    labels = [labels_at(t, "frozen") for t in range(2)]
    peaks = tuple(class_peaks(label, np.full(SIZE, 0.9)) for label in labels)
    request = Request("v", ("0", "1"), SIZE, 3, peaks)

    class Frames(list):
        def frame_name(self, index):
            return str(index)

        def file(self, index):
            return None

        def encoded(self, index):
            return encode_png(self[index])

    entry = write_request(cache, request, Frames([frame_at(0), frame_at(1)]))
    masks = tuple(((1, mask_rle.encode(label == 1)),) for label in labels)
    masklets = Masklets(SIZE, (1,), masks, request.pixels_per_class(), {"teacher": "none"})
    write_masklets(entry, "k" * 8, masklets)
    return entry


def test_a_request_and_its_answer_are_as_the_schemas_say(tmp_path):
    write_entry(tmp_path)
    schemas.check_cache(tmp_path)


def test_every_block_says_what_it_is():
    """A block without a language would be run by no test."""
    for path in PAGES:
        fences = re.findall(r"^```(\w*)$", path.read_text(), re.M)
        assert all(fences[::2]) and not any(fences[1::2]), path.name


def test_no_page_names_a_file_that_is_not_there():
    """Paths of the packages in backticks are paths of the repository."""
    for path in PAGES:
        for name in FILE.findall(path.read_text()):
            of_sam2 = name.startswith("configs/sam2")
            assert of_sam2 or Path(REPOSITORY / name).exists(), f"{path.name}: {name}"


def test_messages_of_the_page_on_troubles_are_the_programs():
    rows = re.findall(
        r"^\| `(.*?)`( \(of \w+\))? \|", (DOCS / "troubleshooting.md").read_text(), re.M
    )
    assert len(rows) > 20
    for message, of_another in rows:
        part = message.removesuffix("…")
        assert of_another or any(part in said for said in messages()), message


def test_every_name_of_the_package_has_its_place_on_the_page():
    text = (DOCS / "api.md").read_text()
    assert [name for name in ditta_jax.__all__ if f"heading: dj.{name}," not in text] == []
