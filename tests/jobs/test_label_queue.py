"""`sentirec sentiment queue`: which texts come first and why, and labels that come back."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from jobs import label_commands
from jobs.cli import app
from jobs.csv_cells import escape_formulas, unescape_formulas
from jobs.errors import BadInputError, NotDecidableError
from jobs.evaluate_sentiment import read_labelled
from jobs.filled_labels import read_filled
from jobs.label_queue import (
    NEW_LABEL,
    REASONS,
    SIGNALS,
    label_queue,
    read_candidates,
    reason_strengths,
)
from sentiment.scorer import ReviewScorer, ScorerConfig

COLUMNS = [
    "id",
    "text",
    "language",
    "reason",
    "strength",
    "label_now",
    "p_negative",
    "p_neutral",
    "p_positive",
    "new_label",
]
SIDES = {
    "positive": [0.02, 0.03, 0.95],
    "negative": [0.95, 0.03, 0.02],
    "unsure": [0.4, 0.2, 0.4],
}


@pytest.fixture(scope="module")
def scorer() -> ReviewScorer:
    return ReviewScorer.load(ScorerConfig(max_tokens=48))


@pytest.fixture
def queue(scorer: ReviewScorer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the command with a scorer that is loaded once."""
    monkeypatch.setattr(label_commands, "load_scorer", lambda device, config: scorer)

    def run(*options: object) -> Any:
        return CliRunner().invoke(app, ["sentiment", "queue", *map(str, options)])

    return run


def candidates(labels: list[int | None]) -> pl.DataFrame:
    number = range(1, len(labels) + 1)
    return pl.DataFrame(
        {"id": [str(n) for n in number], "text": [f"text {n}" for n in number], "label": labels},
        schema_overrides={"label": pl.Int64},
    )


def signals(sides: list[str], embedding: np.ndarray | None = None) -> pl.DataFrame:
    """Signals of texts that take these sides; unlike each other unless told otherwise."""
    read = np.array([SIDES[side] for side in sides])
    vectors = np.eye(len(sides), 64) if embedding is None else embedding
    return pl.DataFrame(
        {
            "language": ["en"] * len(sides),
            **dict(zip(("p_negative", "p_neutral", "p_positive"), read.T, strict=True)),
            "polarity": read[:, 2] - read[:, 0],
            "embedding": pl.Series(
                vectors.astype(np.float32), dtype=pl.Array(pl.Float32, vectors.shape[1])
            ),
        }
    )


def write_queue(path: Path, labels: list[str], texts: list[str] | None = None) -> Path:
    texts = texts or [f"text {n}" for n in range(len(labels))]
    frame = pl.DataFrame({"id": [f"{n:03}" for n in range(len(labels))], "text": texts})
    frame.with_columns(escape_formulas("text"), pl.Series(NEW_LABEL, labels)).write_csv(path)
    return path


def test_strengths_are_within_zero_and_one_and_mean_what_they_say() -> None:
    sides = ["positive", "negative", "unsure", "positive", "negative"] * 10
    label = np.array([2, 0, -1, 0, 1] * 10)
    read = signals(sides)
    strengths = reason_strengths(
        read.select("p_negative", "p_neutral", "p_positive").to_numpy(),
        read["polarity"].to_numpy(),
        label,
    )
    assert list(strengths) == [reason for reason in REASONS if reason != "diverse"]
    assert all(((found >= 0) & (found <= 1)).all() for found in strengths.values())
    assert (strengths["disagrees"] > 0).tolist() == [False, False, False, True, False] * 10
    assert strengths["disagrees"].max() == pytest.approx((1 + 0.93) / 2)
    assert (strengths["uncertain"] > 0).tolist() == [False, False, True, False, False] * 10
    assert strengths["uncertain"].max() == pytest.approx(1.0)
    wrong = strengths["likely_error"]
    assert (wrong[label == 0][1::2] > 0.9).all()
    assert (wrong[label == -1] == 0).all()


@pytest.mark.parametrize("labels", [[2] * 4, [None] * 4, [2, None, 2, None]])
def test_labels_of_one_kind_or_none_are_no_likely_errors(labels: list[int | None]) -> None:
    found = label_queue(candidates(labels), signals(["positive"] * 4), limit=4)
    assert set(found.rows["reason"]) == {"diverse"}


def test_reasons_take_turns() -> None:
    sides = ["positive"] * 12 + ["negative"] * 12 + ["unsure"] * 6
    labels = [2] * 9 + [0] * 3 + [0] * 9 + [2] * 3 + [None] * 6
    rows = label_queue(candidates(labels), signals(sides), limit=8).rows
    assert rows["reason"].to_list()[:4] == list(REASONS)
    assert rows["reason"].to_list()[4:] == list(REASONS)
    assert rows["id"].n_unique() == 8
    assert rows.columns == COLUMNS
    assert rows[NEW_LABEL].null_count() == 8


def test_the_strongest_of_a_reason_comes_first() -> None:
    read = signals(["unsure"] * 3).with_columns(
        p_negative=pl.Series([0.5, 0.41, 0.45]), p_positive=pl.Series([0.3, 0.39, 0.35])
    )
    rows = label_queue(candidates([None] * 3), read, limit=3).rows
    assert rows.filter(reason="uncertain")["id"].to_list() == ["2", "3"]


def test_no_text_is_like_a_chosen_one() -> None:
    generator = np.random.default_rng(5)
    centres = generator.normal(size=(6, 64))
    vectors = np.repeat(centres, 20, axis=0) + generator.normal(size=(120, 64)) * 0.05
    sides = ["positive", "negative", "unsure"] * 40
    found = label_queue(candidates([0, 1, 2, None] * 30), signals(sides, vectors), limit=100)
    assert len(found.rows) == 6
    assert found.num_near_duplicates == 114
    chosen = vectors[[int(name) - 1 for name in found.rows["id"]]]
    chosen /= np.linalg.norm(chosen, axis=1, keepdims=True)
    assert (chosen @ chosen.T - np.eye(6)).max() <= 0.95


def test_a_diverse_pick_is_the_one_least_like_the_chosen() -> None:
    vectors = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 1, 0], [0.6, 0.8, 0]])
    rows = label_queue(candidates([None] * 4), signals(["positive"] * 4, vectors), limit=3).rows
    assert rows["id"].to_list() == ["1", "3", "2"]
    assert rows["strength"].to_list() == pytest.approx([1.0, 1.0, 0.2])


def test_texts_without_words_are_left_out(scorer: ReviewScorer) -> None:
    frame = candidates([None] * 3).with_columns(text=pl.Series(["good", "<br>", "awful"]))
    found = label_queue(frame, scorer.score(frame["text"].to_list()).select(SIGNALS), limit=5)
    assert sorted(found.rows["text"]) == ["awful", "good"]
    assert found.num_wordless == 1


def test_where_no_text_has_words_the_queue_is_empty(scorer: ReviewScorer) -> None:
    frame = candidates([2, 0]).with_columns(text=pl.Series(["<br>", "<p></p>"]))
    found = label_queue(frame, scorer.score(frame["text"].to_list()).select(SIGNALS), limit=5)
    assert (len(found.rows), found.num_wordless) == (0, 2)
    assert found.rows.columns == COLUMNS


def test_candidates_keep_rows_without_a_label(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("key,words,stars\n007,good,5\n008,,1\n009,fine,\n010, ,3\n011,12,2.0\n")
    found = read_candidates(path, "words", label_column="stars", id_column="key")
    assert found["id"].to_list() == ["007", "009", "011"]
    assert found["text"].to_list() == ["good", "fine", "12"]
    assert found["label"].to_list() == [2, None, 0]
    assert read_candidates(path, "words")["id"].to_list() == ["1", "3", "5"]


@pytest.mark.parametrize(
    ("content", "options", "error", "message"),
    [
        ("a,b\nx,1\n", {}, BadInputError, "has no column text; it has a, b"),
        ("text\nx\n", {"label_column": "stars"}, BadInputError, "has no column stars"),
        ("text\nx\n", {"id_column": "key"}, BadInputError, "has no column key"),
        ("text,l\nx,meh\n", {"label_column": "l"}, BadInputError, "cannot tell what the labels"),
        (
            "text,l\nx,positive\ny,meh\n",
            {"label_column": "l"},
            BadInputError,
            "labels without a class: meh",
        ),
        ("text,l\n", {"label_column": "l"}, NotDecidableError, "no rows with a text"),
        ("text,l\n,1\n,2\n", {"label_column": "l"}, NotDecidableError, "no rows with a text"),
        ("", {}, BadInputError, "is empty"),
    ],
)
def test_a_file_that_cannot_be_queued_says_why(
    tmp_path: Path, content: str, options: dict[str, str], error: type[Exception], message: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(error, match=message):
        read_candidates(path, "text", **options)


def test_a_queue_is_filled_and_comes_back_as_training_data(
    tmp_path: Path, queue: Callable[..., Any]
) -> None:
    texts = [
        "=1+1 is great, love it",
        "Terrible, broke at once.",
        "很好用，很喜欢\r\n第二行",
        "It is okay, I suppose.",
        '"quoted", and with commas; awful',
        "@home it works perfectly",
    ]
    labels = ["negative", "negative", "positive", "neutral", "negative", "positive"]
    source, sheet, training = (tmp_path / name for name in ("x.parquet", "q.csv", "t.csv"))
    pl.DataFrame({"sku": [f"-{n}" for n in range(6)], "said": texts, "l": labels}).write_parquet(
        source
    )
    options = ["--file", source, "--text-column", "said", "--label-column", "l"]
    report = tmp_path / "r.json"
    done = queue(*options, "--id-column", "sku", "--out", sheet, "--json", report)
    assert done.exit_code == 0, done.output
    summary = json.loads(report.read_text())
    assert (summary["num_texts"], summary["num_queued"]) == (6, 6)
    assert list(summary["reasons"]) == list(REASONS)
    assert sum(summary["reasons"].values()) == 6
    # The mark tells a spreadsheet that the file is UTF-8.
    assert sheet.read_bytes().startswith(b"\xef\xbb\xbfid,text,")
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert not [row for row in rows if row["text"][0] in "=+-@" or row["id"][0] in "=+-@"]
    wanted = {}
    for row, label in zip(rows, ("positive", "1", "5.0", " Neutral ", "skip", ""), strict=True):
        row[NEW_LABEL] = label
        wanted[row["id"][1:]] = label
    with sheet.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)

    done = queue("--import", sheet, "--out", training, "--json", report)
    assert done.exit_code == 0, done.output
    summary = json.loads(report.read_text())
    assert (summary["num_labelled"], summary["num_skipped"], summary["num_empty"]) == (4, 1, 1)
    assert summary["labels"] == {"negative": 1, "neutral": 1, "positive": 2}
    found = pl.read_csv(training, infer_schema=False)
    assert found.columns == ["text", "label", "id"]
    classes = {"positive": "positive", "1": "negative", "5.0": "positive", " Neutral ": "neutral"}
    for text, label, name in found.iter_rows():
        assert text == texts[int(name[1:])]
        assert label == classes[wanted[name]]
    assert read_labelled(training, "text", "label", None).texts == found["text"].to_list()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "q.csv",
        "r.json",
        "t.csv",
        "x.parquet",
    ]


def test_only_the_rows_go_to_standard_output(tmp_path: Path, queue: Callable[..., Any]) -> None:
    path = tmp_path / "x.csv"
    pl.DataFrame({"text": ["good", "awful", "it came on a Monday"]}).write_csv(path)
    done = queue("--file", path, "--text-column", "text", "--limit", 2)
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 2
    assert list(rows[0]) == COLUMNS
    assert {row["label_now"] for row in rows} == {""}
    assert "2 of 3 texts to label" in done.stderr


def test_equal_rows_are_asked_for_once(tmp_path: Path, queue: Callable[..., Any]) -> None:
    path = tmp_path / "x.csv"
    pl.DataFrame({"text": ["Works well for me."] * 9, "stars": [5] * 9}).write_csv(path)
    out = tmp_path / "q.csv"
    options = ["--file", path, "--text-column", "text", "--label-column", "stars", "--out", out]
    done = queue(*options, "--json", "-")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert (summary["num_queued"], summary["num_near_duplicates"]) == (1, 8)
    assert "not 200: 8 texts say nearly the same" in done.stderr
    assert len(pl.read_csv(out)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --file and --text-column, or --import"),
        (["--file", "x.csv"], "give --file and --text-column"),
        (["--file", "x.csv", "--text-column", "t", "--map", "{}"], "--map goes with"),
        (["--import", "q.csv", "--file", "x.csv"], "--import takes no other input"),
        (["--import", "q.csv", "--json", "-"], "only one of --out and --json"),
        (["--import", "q.csv", "--out", "no/such/folder/t.csv"], "there is no folder no/such"),
        (["--import", "q.csv", "--out", "."], "it is a folder"),
    ],
)
def test_options_that_do_not_go_together_say_so(
    queue: Callable[..., Any], options: list[str], message: str
) -> None:
    done = queue(*options)
    assert isinstance(done.exception, BadInputError)
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["positive", "pos", ""], r"row 3 \(id 001, text 'text 1'\) says 'pos'"),
        (["6", "0", "5"], r"row 2 .* says '6'; row 3 .* says '0'; nothing was written"),
        (["2.5"], "says '2.5'"),
        (["x"] * 11, "and 3 more"),
        (["", "", ""], "no row of 3 has a label in new_label"),
        (["skip", ""], "no row of 2 has a label"),
    ],
)
def test_a_wrong_label_is_named_and_nothing_is_written(
    tmp_path: Path, queue: Callable[..., Any], labels: list[str], message: str
) -> None:
    out = tmp_path / "t.csv"
    out.write_text("as before")
    path = write_queue(tmp_path / "q.csv", labels)
    with pytest.raises(BadInputError, match=message):
        read_filled(path)
    assert isinstance(queue("--import", path, "--out", out).exception, BadInputError)
    assert out.read_text() == "as before"


def test_a_label_without_a_text_is_named(tmp_path: Path) -> None:
    path = write_queue(tmp_path / "q.csv", ["1", "2"], ["fine", ""])
    with pytest.raises(BadInputError, match=r"a label needs a text, but .* row 3"):
        read_filled(path)


def test_a_file_that_is_no_queue_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\na,1\n")
    with pytest.raises(BadInputError, match="has no column new_label; it has text, label"):
        read_filled(tmp_path / "x.csv")


def test_a_queue_needs_no_ids(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,new_label\n007,4\nb,\n")
    found = read_filled(tmp_path / "x.csv")
    assert found.rows.rows() == [("007", "positive")]
    assert (found.num_skipped, found.num_empty) == (0, 1)


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=5))
def test_every_text_survives_the_file(texts: list[str]) -> None:
    escaped = pl.DataFrame({"text": texts}).select(escape_formulas("text"), other=pl.lit("x"))
    assert not [cell for cell in escaped["text"] if cell[:1] in tuple("=+-@\t\r")]
    read = pl.read_csv(io.BytesIO(escaped.write_csv(include_bom=True).encode()), infer_schema=False)
    assert read.select(unescape_formulas("text"))["text"].to_list() == texts


def test_help_imports_no_model() -> None:
    code = (
        "import sys; from jobs.cli import app\n"
        "try: app(['sentiment', 'queue', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'polars', 'cleanlab', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "NOT been trained" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
