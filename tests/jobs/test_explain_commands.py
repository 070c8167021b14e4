"""`sentirec sentiment explain` and `fairness`: real models, files and pages."""

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from jobs import explain_commands
from jobs.errors import BadInputError, NotDecidableError
from jobs.fairness import (
    NO_SHIFT,
    SHIFT,
    TOO_FEW,
    cluster_interval,
    fairness_report,
    measure_shifts,
    read_column,
)
from jobs.write_explanation import explanation_page
from sentiment import model_file
from sentiment import scorer as scorer_module
from sentiment.counterfactuals import Pair
from sentiment.errors import IdentityWordsError
from sentiment.explaining import Explanation, Word
from sentiment.scorer import CHINESE_MODEL, ENGLISH_MODEL, ReviewScorer, ScorerConfig

SMALL_LIST = """
[en.gender.relation]
women = ["wife", "daughter"]
men = ["husband", "son"]
[zh.gender.relation]
women = ["老婆"]
men = ["老公"]
[templates]
en = ["My {relation} loves it.", "My {relation} says that it broke."]
zh = ["我{relation}很喜欢。"]
"""

app = typer.Typer()
explain_commands.register(app)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


_load_once = cache(model_file.load_model)


@pytest.fixture(autouse=True)
def _models_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process share the loaded models."""
    monkeypatch.setattr(model_file, "load_model", _load_once)
    monkeypatch.setattr(scorer_module, "load_model", _load_once)


@pytest.fixture(scope="module")
def scorer() -> ReviewScorer:
    return ReviewScorer.load(ScorerConfig(max_tokens=48))


def run(*arguments: str, stdin: str | bytes | None = None) -> Any:
    """Run a command that ends well and return what it wrote as JSON."""
    result = CliRunner().invoke(app, [*arguments, "--json", "-"], input=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def error_of(*arguments: str, stdin: bytes | None = None) -> BaseException:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    assert result.exception is not None
    return result.exception


def pair(text: str, other: str, source: int) -> Pair:
    return Pair(
        language="en",
        kind="gender",
        group="women",
        other_group="men",
        text=text,
        other_text=other,
        source=source,
    )


def test_words_of_the_json_are_those_of_the_text() -> None:
    found = run("explain", "I love <b>this</b> guitar, but it doesn't stay in tune.", "--steps=16")
    assert found["text"] == "I love this guitar, but it doesn't stay in tune."
    for word in found["words"]:
        assert found["text"][word["start"] : word["end"]] == word["text"]
    assert [word["text"] for word in found["words"]][7:9] == ["doesn't", "stay"]
    total = sum(word["attribution"] for word in found["words"])
    difference = found["polarity"] - found["baseline_polarity"]
    assert total - difference == pytest.approx(found["completeness_gap"], abs=1e-6)
    assert (found["language"], found["model"], found["steps"]) == ("en", ENGLISH_MODEL.stem, 16)


def test_chinese_from_standard_input_is_read_by_the_chinese_model() -> None:
    found = run("explain", "-", "--steps", "4", stdin="音质很好，USB 线太短\n")
    assert (found["language"], found["model"]) == ("zh", CHINESE_MODEL.stem)
    assert [word["text"] for word in found["words"]] == [*"音质很好，", "USB", *"线太短"]


def test_an_empty_text_is_neutral() -> None:
    found = run("explain", "-", stdin=" \n")
    assert (found["text"], found["words"], found["polarity"]) == ("", [], 0.0)


def test_a_long_text_is_said_to_be_cut() -> None:
    Path("sentirec.toml").write_text("[score]\nmax_tokens = 16\n")
    result = CliRunner().invoke(app, ["explain", "very good strap " * 40, "--steps", "2"])
    assert result.exit_code == 0, result.output
    assert "only the first 14 words were read" in result.stdout


def test_words_that_look_like_markup_are_printed_as_they_are() -> None:
    result = CliRunner().invoke(app, ["explain", "a [red] and [/bold] strap", "--steps", "2"])
    assert result.exit_code == 0, result.output
    assert "a [red] and [/bold] strap" in result.stdout


class _Page(HTMLParser):
    """The tags, titles and visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_the_text_and_a_number_for_each_word() -> None:
    found = run("explain", "Loud & clear, 5 < 6 'strings'", "--steps", "4", "--html", "x.html")
    page = _Page(Path("x.html").read_text("utf-8"))
    assert "Loud & clear, 5 < 6 'strings'" in page.text
    assert page.titles == [f"{word['attribution']:+.4f}" for word in found["words"]]
    assert "script" not in page.tags


def test_a_page_escapes_what_it_shows() -> None:
    text = "<script>alert('x')</script> \"&amp;\""
    explanation = Explanation(
        text=text,
        words=(
            Word(start=0, end=8, attribution=-0.5),
            Word(start=8, end=13, attribution=0.25),
        ),
        polarity=-0.25,
        baseline_polarity=0.0,
        completeness_gap=0.0,
        truncated=True,
        steps=2,
    )
    html = explanation_page(explanation, model="<m>", language="'en'")
    page = _Page(html)
    assert "script" not in page.tags
    assert "m" not in page.tags
    assert text in page.text
    assert "the rest is pale" in page.text
    depths = re.findall(r"background:rgb\((\d+) \d+ \d+ / ([\d.]+)\)'", html)
    # Red for what made it negative, and the strongest is the deepest.
    assert depths == [("214", "0.800"), ("33", "0.400")]


def test_a_page_that_cannot_be_written_is_named() -> None:
    error = error_of("explain", "good", "--steps", "2", "--html", "no/where.html")
    assert isinstance(error, BadInputError)
    assert "cannot write" in str(error)
    assert "no/where.html" in str(error)


def test_input_that_is_no_utf8_is_named() -> None:
    error = error_of("explain", "-", stdin=b"\xff\xfe")
    assert isinstance(error, BadInputError)
    assert "standard input is not UTF-8" in str(error)


def test_templates_are_filled_where_no_file_is_given() -> None:
    Path("words.toml").write_text(SMALL_LIST, "utf-8")
    found = run("fairness", "--words", "words.toml")
    assert (found["source"], found["num_texts"], found["seed"]) == ("templates", None, 0)
    groups = [(g["language"], g["num_pairs"], g["num_sources"]) for g in found["groups"]]
    assert groups == [("en", 4, 2), ("zh", 1, 1)]
    # Two sentences are too few for an interval, however far they move.
    assert [(g["low"], g["verdict"]) for g in found["groups"]] == [(None, TOO_FEW)] * 2


def test_words_of_real_texts_are_swapped() -> None:
    Path("words.toml").write_text(SMALL_LIST, "utf-8")
    texts = [f"My {who} got {n} of it and likes it" for n in range(4) for who in ("wife", "son")]
    frame = pl.DataFrame({"words": [*texts, None, "", "It is for my wife and my son", texts[0]]})
    frame.write_csv("x.csv")
    options = ["fairness", "--file", "x.csv", "--text-column", "words", "--words", "words.toml"]
    result = CliRunner().invoke(app, [*options, "--json", "x.json"])
    assert result.exit_code == 0, result.output
    assert "swaps in 9 texts" in result.stdout
    assert "tests swaps of listed words" in " ".join(result.stdout.split())
    (group,) = json.loads(Path("x.json").read_text("utf-8"))["groups"]
    assert (group["num_pairs"], group["num_sources"]) == (8, 8)
    assert group["low"] <= group["mean_shift"] <= group["high"]
    largest = group["largest"]
    assert largest["shift"] == pytest.approx(largest["other_polarity"] - largest["polarity"])
    drawn = run(*options, "--most-pairs", "5", "--seed", "3")
    assert drawn["groups"][0]["num_pairs"] == 5
    assert drawn == run(*options, "--most-pairs", "5", "--seed", "3")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--text-column", "text"], BadInputError, "give --file too"),
        (["--file", "x.csv"], BadInputError, "say --text-column; it has text"),
        (["--file", "x.csv", "--text-column", "t"], BadInputError, "no column t; it has text"),
        (["--file", "x.csv", "--text-column", "text"], NotDecidableError, "one listed group alone"),
        (["--words", "nowhere.toml"], IdentityWordsError, "nowhere.toml cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named(
    options: list[str], error: type[Exception], message: str
) -> None:
    pl.DataFrame({"text": ["The strap is good."]}).write_csv("x.csv")
    found = error_of("fairness", *options)
    assert isinstance(found, error)
    assert message in str(found)


def test_texts_of_a_column_are_cleaned_and_come_once(tmp_path: Path) -> None:
    texts = ["good<br/>strap", "good strap", None, "<b></b>", "5"]
    pl.DataFrame({"text": texts}).write_parquet(tmp_path / "x.parquet")
    assert read_column(tmp_path / "x.parquet", "text") == ["good strap", "5"]


def test_texts_that_differ_in_sentiment_shift(scorer: ReviewScorer) -> None:
    pairs = [
        pair(f"Strap {n} is terrible, it broke.", f"Strap {n} is wonderful, I love it.", n)
        for n in range(6)
    ]
    (found,) = measure_shifts(scorer, pairs, seed=0, most_pairs=10)
    assert found.verdict == SHIFT
    assert found.low is not None
    assert 0 < found.low <= found.mean_shift <= (found.high or 0)
    assert found.flipped_share > 0
    assert found.largest.text in {p.text for p in pairs}
    (back,) = measure_shifts(
        scorer, [pair(p.other_text, p.text, p.source) for p in pairs], seed=0, most_pairs=10
    )
    assert back.mean_shift == pytest.approx(-found.mean_shift)


def test_the_same_texts_do_not_shift(scorer: ReviewScorer) -> None:
    pairs = [pair(f"Strap {n}", f"Strap {n}", n) for n in range(6)]
    (found,) = measure_shifts(scorer, pairs, seed=0, most_pairs=10)
    assert (found.mean_shift, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.verdict, found.flipped_share) == (NO_SHIFT, 0.0)
    report = fairness_report([found], version="v", num_texts=6, seed=0)
    assert json.loads(json.dumps(report))["num_shifts"] == 0


def test_many_pairs_of_few_sources_are_too_few(scorer: ReviewScorer) -> None:
    pairs = [pair(f"Strap {n} is awful.", f"Strap {n} is great.", n % 3) for n in range(12)]
    (found,) = measure_shifts(scorer, pairs, seed=0, most_pairs=100)
    assert (found.num_pairs, found.num_sources, found.verdict) == (12, 3, TOO_FEW)


def test_intervals_cover_the_mean_that_made_the_clusters() -> None:
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(40), 5)
    covered = 0
    for seed in range(200):
        values = 0.3 + rng.normal(0, 1, 40)[cluster] + rng.normal(0, 0.2, 200)
        low, high = cluster_interval(values, cluster, seed=seed, num_resamples=400)
        covered += low <= 0.3 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_values_said_twice_in_their_cluster_make_no_interval_narrower() -> None:
    values = np.random.default_rng(1).normal(size=20)
    cluster = np.arange(20)
    once = cluster_interval(values, cluster, seed=4)
    twice = cluster_interval(np.tile(values, 2), np.tile(cluster, 2), seed=4)
    assert twice == pytest.approx(once)
