"""`sentirec sentiment evaluate --report`: one page that needs nothing else, and true curves."""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from programs import needed
from typer.testing import CliRunner

from jobs import sentiment_commands
from jobs.cli import app
from jobs.errors import BadInputError
from jobs.sentiment_curves import NUM_BINS, reliability_bins, roc_areas, roc_points
from jobs.sentiment_figures import ScoredTexts, class_shares, sentiment_figures
from jobs.sentiment_report import sentiment_report
from jobs.whole_files import write_whole
from sentiment.metrics import calibration_error, roc_auc
from sentiment.scorer import ReviewScorer, ScorerConfig

_EMPTY_TAGS = {"meta", "img"}


class _Page(HTMLParser):
    """Tags with their attributes, words, and whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.opened: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _EMPTY_TAGS:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Hundreds of tiny tensors are slower on many threads, on busy cores by far."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def scored_texts(num: int, classes: list[int], *, seed: int = 0) -> ScoredTexts:
    generator = np.random.default_rng(seed)
    label = generator.choice(classes, num)
    probabilities = generator.dirichlet(np.ones(3), num)
    probabilities[np.arange(num), label] += 0.3
    return ScoredTexts(
        probabilities=(probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32),
        label=label,
        language=generator.choice(np.array(["en", "zh"], dtype=object), num),
        num_characters=generator.integers(0, 900, num),
        model_version="model-1",
    )


def page_of(scored: ScoredTexts, source: str = "x.csv") -> str:
    return sentiment_report(scored, sentiment_figures(scored), source=source)


@pytest.mark.parametrize("classes", [[0, 2], [0, 1, 2]])
def test_the_page_needs_nothing_else_and_can_be_heard(classes: list[int]) -> None:
    page = page_of(scored_texts(300, classes))
    found = _Page(page)
    assert not found.opened
    assert found.of("html") == [{"lang": "en"}]
    assert "Polarity against labels: x.csv" in found.words
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in found.tags}
    assert not re.search(r"https?:|url\(|@import", page)
    images = found.of("img")
    assert len(images) == 3
    kinds = ("Confusion matrix", "ROC curves", "Reliability diagrams")
    for image, kind in zip(images, kinds, strict=True):
        assert (image["alt"] or "").startswith(kind)
        head, data = (image["src"] or "").split(",")
        assert head == "data:image/svg+xml;base64"
        drawing = ElementTree.fromstring(base64.b64decode(data))
        hrefs = [
            value
            for node in drawing.iter()
            for name, value in node.attrib.items()
            if name.endswith("href")
        ]
        assert all(value.startswith(("#", "data:")) for value in hrefs)
    assert [cell for cell in found.of("th") if cell.get("scope") not in {"row", "col"}] == []
    assert len(found.of("caption")) == len(found.of("table")) == 5


def test_what_comes_from_outside_is_escaped() -> None:
    scored = scored_texts(20, [0, 2])
    bad = "<script>alert(\"x\")</script> & 'y'"
    figures = sentiment_figures(scored)
    figures["model_version"] = bad
    figures["language"] = {bad: figures["language"]["en"]}
    page = sentiment_report(scored, figures, source=bad)
    assert "<script" not in page
    assert not _Page(page).of("script")
    # The title, the line below the heading, and a row.
    assert sum(bad in words for words in _Page(page).words) == 3


@pytest.mark.parametrize(
    ("num", "classes", "said"),
    [
        (1, [2], "positive: no curve"),
        (40, [0], "positive: no curve"),
        (2, [1], "neutral: no curve"),
        (40, [1, 2], "negative: no curve"),
    ],
)
def test_labels_without_a_curve_say_so(num: int, classes: list[int], said: str) -> None:
    found = _Page(page_of(scored_texts(num, classes)))
    assert said in (found.of("img")[1]["alt"] or "")
    assert not found.opened


def test_a_text_without_words_spoils_no_figure() -> None:
    scored = scored_texts(30, [0, 2])
    scored.probabilities[:4] = [0, 1, 0]
    figures = sentiment_figures(scored)
    assert 0 <= figures["ece"] <= 1
    assert 0 <= figures["ece_after_temperature"] <= 1
    assert _Page(page_of(scored)).of("img")


def test_two_classes_have_one_curve_and_three_have_three() -> None:
    two, three = scored_texts(50, [0, 2]), scored_texts(50, [0, 1, 2])
    assert list(roc_areas(class_shares(two.probabilities, two.label))) == ["positive"]
    areas = roc_areas(class_shares(three.probabilities, three.label))
    assert list(areas) == ["negative", "neutral", "positive"]
    assert np.mean([area for area in areas.values() if area]) == pytest.approx(
        sentiment_figures(three)["auc"]
    )


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_below_the_curve_is_the_auc(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], dtype=float)
    positive = np.array([is_positive for _, is_positive in rows])
    if positive.all() or not positive.any():
        return
    false_rate, true_rate = roc_points(scores, positive)
    assert (false_rate[0], true_rate[0], false_rate[-1], true_rate[-1]) == (0, 0, 1, 1)
    assert (np.diff(false_rate) >= 0).all()
    assert (np.diff(true_rate) >= 0).all()
    area = np.trapezoid(true_rate, false_rate)
    assert area == pytest.approx(roc_auc(scores, positive))


def test_bins_sum_up_to_the_calibration_error() -> None:
    scored = scored_texts(500, [0, 1, 2])
    shares = class_shares(scored.probabilities, scored.label)
    bins = reliability_bins(shares.share, shares.actual)
    assert bins.num_texts.sum() == 500
    assert np.isnan(bins.accuracy[bins.num_texts == 0]).all()
    filled = bins.num_texts > 0
    gaps = np.abs(bins.accuracy - bins.confidence)[filled]
    wanted = calibration_error(shares.share, shares.actual, NUM_BINS)
    assert (gaps * bins.num_texts[filled]).sum() / 500 == pytest.approx(wanted)


def test_long_curves_make_no_long_page() -> None:
    assert len(page_of(scored_texts(20_000, [0, 2]))) < 400_000


def _labels(path: Path) -> list[str]:
    texts = ["Love it!", "Awful, broke.", "很好用", "Terrible. Avoid."]
    labels = ["positive", "negative", "positive", "negative"]
    pl.DataFrame({"text": texts, "label": labels}).write_csv(path)
    return ["--file", str(path), "--text-column", "text", "--label-column", "label"]


def test_the_command_writes_the_page_beside_the_same_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = ReviewScorer.load(ScorerConfig(max_tokens=48))
    monkeypatch.setattr(sentiment_commands, "load_scorer", lambda device, config: scorer)
    command = ["sentiment", "evaluate", *_labels(tmp_path / "x&y.csv"), "--json", "-"]
    plain = CliRunner().invoke(app, command)
    page = tmp_path / "report.html"
    drawn = CliRunner().invoke(app, [*command, "--report", str(page)])
    assert drawn.exit_code == 0, drawn.output
    assert json.loads(drawn.stdout) == json.loads(plain.stdout)
    assert "x&amp;y.csv, column label" in page.read_text("utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "x&y.csv"]


def test_a_page_that_cannot_be_written_is_told_before_anything_is_scored(tmp_path: Path) -> None:
    target = str(tmp_path / "nowhere" / "r.html")
    options = _labels(tmp_path / "x.csv")
    found = CliRunner().invoke(app, ["sentiment", "evaluate", *options, "--report", target])
    assert isinstance(found.exception, BadInputError)
    assert "there is no folder" in str(found.exception)


def test_a_file_that_cannot_be_finished_keeps_its_old_content(tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    write_whole(target, "old")
    (tmp_path / "r.html.partial").mkdir()
    with pytest.raises(BadInputError, match="cannot write"):
        write_whole(target, "new")
    assert target.read_text() == "old"


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.html").write_text("old")
    link = tmp_path / "link.html"
    link.symlink_to(tmp_path / "real.html")
    write_whole(link, "new\n")
    assert link.is_symlink()
    assert (tmp_path / "real.html").read_text() == "new\n"


@pytest.mark.browser
def test_a_browser_shows_every_drawing(tmp_path: Path) -> None:
    chromium = needed("chromium")
    page = page_of(scored_texts(200, [0, 1, 2]))
    # Not in the report itself: its policy forbids scripts.
    probe = re.sub(r"<meta http-equiv=[^>]*>", "", page).replace(
        "</body>",
        "<script>onload=()=>{document.title=[...document.images].map(i=>i.naturalWidth>100)}"
        "</script></body>",
    )
    (tmp_path / "r.html").write_text(probe, "utf-8")
    options: list[Any] = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'r.html'}"]
    done = subprocess.run(
        [chromium, *options], check=True, capture_output=True, text=True, timeout=120
    )
    assert "<title>true,true,true</title>" in done.stdout
