"""The page of a run: what is in it, and that a browser can show it."""

import json
import re

import numpy as np
import pytest

from ditta_jax import report
from ditta_jax.errors import UserError
from ditta_jax.files import seal, unseal
from ditta_jax.runs.page import budget
from ditta_jax.runs.page.page import page_of, write_page
from ditta_jax.runs.page.run_data import read_run
from tests.runs.page.browser import look
from tests.runs.page.made_up_run import CLASSES, FRAMES, WARM_UP, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def page(run):
    write_page([run], run / "report.html")
    return run / "report.html"


def content(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


# ---------------------------------------------------------------------------- in a browser

# The status of a pixel of every canvas of the player, to see that something is drawn and moves.
STEPS = """
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const prints = () => [...document.querySelectorAll('.player canvas')].map((canvas) => {
  const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0;
  all.forEach((v, i) => { sum = (sum * 31 + v) % 1000003; });
  return sum;
});
const press = (key) => document.body.dispatchEvent(
  new KeyboardEvent('keydown', { key, bubbles: true }));
await page.player.shown;
const first = { prints: prints(), at: page.player.at, video: page.video };
press('ArrowRight');
await page.player.shown;
const second = { prints: prints(), at: page.player.at };
press('End');
await page.player.shown;
const lines = [...document.querySelectorAll('svg.pick .now')];
const marked = lines.map((line) => line.getAttribute('x1'));
const last = page.player.at;
press('Home'); press(' ');
await wait(1000);
const playing = page.player.at;
press(' ');
const chart = document.querySelector('svg.pick').getBoundingClientRect();
document.querySelector('svg.pick').dispatchEvent(new PointerEvent('pointerdown', {
  clientX: chart.right - 12, clientY: chart.top + 20 }));
const picked = page.player.at;
press('ArrowDown');
await page.player.shown;
await wait(200);
return {
  first, second, last, marked, playing, picked, video: page.video,
  panels: [...document.querySelectorAll('.player figcaption')].map((e) => e.textContent),
  text: document.body.innerText,
  spans: document.querySelectorAll('svg.timeline rect').length,
  bold: document.querySelectorAll('main b').length,
  tooWide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  cut: Math.max(...[...document.querySelectorAll('svg.timeline, .track')].map((e) => {
    const box = e.closest('.wide');
    return box.scrollWidth - box.clientWidth;
  })),
  dots: document.querySelectorAll('path.dot').length,
  list: document.querySelectorAll('.list button').length,
};
"""


@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it_and_its_player_moves(page, tmp_path, width):
    seen = look(page, STEPS, tmp_path, width)
    assert seen["errors"] == []
    assert seen["first"]["at"] == 0 and seen["second"]["at"] == 1
    moved = zip(seen["first"]["prints"], seen["second"]["prints"], strict=True)
    assert all(a != b for a, b in moved)
    assert seen["last"] == seen["picked"] == 9 and seen["playing"] > 0
    assert len(set(seen["marked"])) == 1 and float(seen["marked"][0]) > 0
    assert seen["video"] != seen["first"]["video"]
    assert seen["panels"][:4] == ["frame", "ground truth", "frozen student", "DiTTA"]
    assert "green repaired" in seen["panels"][4]
    assert seen["tooWide"] <= 0 and seen["cut"] <= 0 and seen["list"] == 2
    assert seen["dots"] == 1  # the contrast of the first step, beside steps that have none
    for words in ("Scores", "What failed or fell back", "frame 3 does not decode", "no object"):
        assert words in seen["text"]
    # Of two videos: A, C and D of the student, one of the teacher; and its start.
    assert seen["spans"] == 9
    assert "100 % of the shorter one is hidden" in seen["text"]
    assert CLASSES[2] in seen["text"] and seen["bold"] == 0  # names are text, never markup


def test_without_a_truth_there_are_pictures_and_flicker(tmp_path):
    run = write_run(tmp_path / "own", labelled=False, videos=("left",))
    write_page([run], tmp_path / "report.html")
    seen = look(tmp_path / "report.html", STEPS, tmp_path)
    assert seen["errors"] == []
    assert seen["panels"] == ["frame", "frozen student", "DiTTA", "DiTTA: where it differs"]
    assert "no ground truth, so no scores" in seen["text"] and "flicker" in seen["text"]
    assert seen["list"] == 0  # one video: there is nothing to choose


def test_several_runs_stand_side_by_side(tmp_path, run):
    other = write_run(tmp_path / "slow", lr=1e-4)
    write_page([run, other], tmp_path / "report.html")
    seen = look(tmp_path / "report.html", STEPS, tmp_path)
    assert seen["errors"] == []
    panels = ["frozen student", "demo: DiTTA", "slow: DiTTA"]
    assert seen["panels"][2:5] == panels
    assert "tta.lr" in seen["text"] and "0.0001" in seen["text"]


def test_videos_that_the_first_run_has_not_are_shown_too(tmp_path, run):
    other = write_run(tmp_path / "more", videos=("left", "ahead"))
    write_page([run, other], tmp_path / "report.html")
    films = content((tmp_path / "report.html").read_text())["films"]
    assert films.keys() == {"left", "right", "ahead"}
    assert films["ahead"]["curves"]["mIoU"].keys() == {"1/frozen", "1/ditta"}
    assert films["left"]["curves"]["mIoU"].keys() >= {"0/ditta", "1/ditta"}
    steps = """
      const seen = {};
      for (const button of document.querySelectorAll('.list button')) {
        button.click();
        await page.player.shown;
        const titles = [...document.querySelectorAll('.player figcaption')];
        seen[page.video] = titles.map((e) => e.textContent);
      }
      return { seen };
    """
    found = look(tmp_path / "report.html", steps, tmp_path)
    assert found["errors"] == []
    panels = {video: titles[2:] for video, titles in found["seen"].items()}
    assert panels.keys() == films.keys()
    assert "more: DiTTA" in panels["ahead"] and "demo: DiTTA" not in panels["ahead"]
    assert "demo: DiTTA" in panels["right"] and "more: DiTTA" not in panels["right"]


def test_one_method_alone_is_shown_without_differences(tmp_path):
    run = write_run(tmp_path / "one", methods=("ditta",))
    write_page([run], tmp_path / "report.html")
    seen = look(tmp_path / "report.html", STEPS, tmp_path)
    assert seen["errors"] == [] and seen["panels"] == ["frame", "ground truth", "DiTTA"]


# ---------------------------------------------------------------------------- the file


def test_nothing_is_loaded_from_outside(page):
    text = page.read_text()
    assert "default-src 'none'" in text
    outside = re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)[^\"']+|url\(|@import|https?://", text)
    assert [word for word in outside if word != "http://"] == []


def test_it_holds_curves_of_all_frames_and_pictures_of_some(page):
    film = content(page.read_text())["films"]["left"]
    curve = film["curves"]["mIoU"]["0/ditta"]
    assert curve["first"] == WARM_UP and len(curve["values"]) == FRAMES - WARM_UP
    assert len(film["pictures"]) == 10
    assert film["objects"][0]["click"]["x"] == 10 and film["objects"][0]["class_id"] == 1


def test_the_page_keeps_to_its_size(run):
    whole = len(page_of([read_run(run)]))
    films = [budget.bytes_of(film) for film in content(page_of([read_run(run)]))["films"].values()]
    text = page_of([read_run(run)], most_bytes=int(0.8 * sum(films)))
    shorter = content(text)["films"]
    assert len(text) < whole
    assert all(6 <= len(film["pictures"]) < 10 for film in shorter.values())
    assert content(page_of([read_run(run)], most_bytes=100))["films"] == {}


def test_best_and_worst_videos_get_room_first():
    gains = {"a": 0.1, "b": -0.2, "c": 0.3, "d": None, "e": 0.0}
    assert budget.most_telling(gains) == ["b", "d", "e", "c", "a"]


def test_a_film_that_was_cut_off_is_left_out(tmp_path):
    run = write_run(tmp_path / "demo")
    film = run / "film" / "left.json"
    film.write_bytes(film.read_bytes()[:-10])
    assert list(content(page_of([read_run(run)]))["films"]) == ["right"]


def test_the_same_run_gives_the_same_page(run):
    assert page_of([read_run(run)]) == page_of([read_run(run)])


# ---------------------------------------------------------------------------- the command


@pytest.mark.robustness(
    "Run folders", "a page is asked of a folder that is no finished run", "one line; no page"
)
@pytest.mark.parametrize("what", ["missing", "empty", "broken", "foreign"])
def test_no_page_of_what_is_no_run(tmp_path, what, said):
    folder = tmp_path / "run"
    if what != "missing":
        folder.mkdir()
    if what == "broken":
        (folder / "result.json").write_text("{")
    if what == "foreign":
        (folder / "result.json").write_text("[1]")
    with pytest.raises(UserError) as error:
        write_page([folder], tmp_path / "report.html")
    said(str(error.value))
    assert str(folder) in str(error.value)
    assert not (tmp_path / "report.html").exists()


def test_the_command_writes_beside_the_run_or_where_it_is_told(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words, file in (
        ([str(run)], run / "report.html"),
        ([str(run)], run / "report.html"),  # an earlier page is replaced
        ([str(run), str(run)], tmp_path / "report.html"),
        ([str(run), "--out", "x.html"], tmp_path / "x.html"),
    ):
        monkeypatch.setattr("sys.argv", ["report", *words])
        report.main()
        assert file.is_file() and str(file.name) in capsys.readouterr().out


@pytest.mark.robustness(
    "Run folders",
    "a report, a page of figures or a benchmark to be written over somebody's file",
    "refused before any work, the file kept",
)
@pytest.mark.parametrize("place", ["thesis.html", "folder", "link.html"])
def test_the_file_of_somebody_is_kept(place, run, tmp_path, monkeypatch, said):
    (tmp_path / "thesis.html").write_text("<html>mine</html>")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.html").symlink_to(tmp_path / "thesis.html")
    monkeypatch.setattr("sys.argv", ["report", str(run), "--out", str(tmp_path / place)])
    with pytest.raises(UserError, match=place) as caught:
        report.main()
    if place == "thesis.html":
        said(str(caught.value))
    assert (tmp_path / "thesis.html").read_text() == "<html>mine</html>"


@pytest.mark.parametrize(("words", "says"), [([], "RUN"), (["a", "--to", "b"], "--to")])
def test_wrong_words_are_one_line(words, says, monkeypatch):
    monkeypatch.setattr("sys.argv", ["report", *words])
    with pytest.raises(UserError, match=says):
        report.main()


def test_curves_count_what_changes_without_cause():
    from ditta_jax.runs.page.frame_curves import FrameCurves

    truth = np.array([[0, 0, 1, 255]], np.uint8)
    curves = FrameCurves(2)
    curves.update({"m": np.array([[0, 0, 1, 1]], np.uint8)}, truth)
    curves.update({"m": np.array([[0, 1, 0, 0]], np.uint8)}, np.array([[0, 0, 0, 255]], np.uint8))
    told = curves.to_json()
    assert told["flicker"]["m"] == [None, 0.5]  # of two pixels of constant truth, one changed
    assert told["mIoU"]["m"] == [1.0, round(2 / 3, 5)]


def test_a_run_of_other_classes_lends_no_pictures(tmp_path, run):
    other = write_run(tmp_path / "other")
    for file in (other / "film").glob("*.json"):
        film = unseal(file.read_bytes())
        file.write_bytes(seal(film | {"classes": ["a", "b", "c"]}))
    film = content(page_of([read_run(run), read_run(other)]))["films"]["left"]
    assert "1/ditta" in film["curves"]["mIoU"]
    assert {name for p in film["pictures"] for name in p["labels"]} == {"0/frozen", "0/ditta"}


def test_a_name_that_is_spelled_as_a_place_of_the_page_stays_a_name(tmp_path, run):
    other = write_run(tmp_path / "{{data}}")
    told = content(page_of([read_run(run), read_run(other)]))
    assert [own["name"] for own in told["runs"]] == ["demo", "{{data}}"]


@pytest.mark.robustness(
    "Run folders",
    "a page is asked of a run whose result.json was edited by hand",
    "one line; no page",
)
@pytest.mark.parametrize(
    "change",
    [
        lambda result: result.update(videos={"left": {}}, methods=[]),
        lambda result: result.update(videos=["left"]),
        lambda result: result["videos"][0].pop("name"),
        lambda result: result["videos"][0].update(scores=[1]),
        lambda result: result["videos"][0]["scores"]["ditta"].update(mIoU="0.5"),
        lambda result: result["methods"].update(ditta=None),
        lambda result: result["methods"]["ditta"].update(mIoU=50.0),
        lambda result: result["methods"]["ditta"].update(mIoU=-0.1),
        lambda result: result.update(config=[1]),
    ],
)
def test_a_result_that_was_edited_is_named(tmp_path, said, change):
    folder = write_run(tmp_path / "run")
    result = json.loads((folder / "result.json").read_text())
    change(result)
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"result\.json: not as a run writes it \(") as error:
        page_of([read_run(folder)])
    said(str(error.value))


@pytest.mark.robustness(
    "Run folders",
    "a page is asked of a run with damaged films, records or losses",
    "made of the rest; what is left out is named",
)
@pytest.mark.parametrize("name", ["film/left.json", "videos/left.json", "losses.jsonl"])
def test_what_is_damaged_is_left_out_and_named(tmp_path, said, caplog, name):
    folder = write_run(tmp_path / "run")
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-20])
    page_of([read_run(folder)])
    (message,) = caplog.messages
    assert name in said(message)
