"""`sentirec sentiment`: real texts through the real scorer, and labels of every kind."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from jobs import sentiment_commands
from jobs.cli import app
from jobs.errors import BadInputError, NotDecidableError
from jobs.evaluate_sentiment import evaluate_sentiment, read_labelled
from jobs.text_files import opened, read_table, text_lines
from sentiment.scorer import ReviewScorer, ScorerConfig

LABELS = pl.DataFrame(
    {
        "text": [
            "I love it, perfect!",
            "Broke at once, awful.",
            "很好用，很喜欢",
            "Terrible. Avoid.",
        ],
        "label": ["positive", "negative", "positive", "negative"],
        "stars": [5, 1, 4, 2],
        "number": [1, 0, 1, 0],
    }
)


@pytest.fixture(scope="module")
def scorer() -> ReviewScorer:
    return ReviewScorer.load(ScorerConfig(max_tokens=48))


@pytest.fixture
def _loaded(scorer: ReviewScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process share one loaded scorer."""
    monkeypatch.setattr(sentiment_commands, "load_scorer", lambda device, config: scorer)


@pytest.mark.usefixtures("_loaded")
def test_every_line_comes_back_in_its_place(tmp_path: Path, scorer: ReviewScorer) -> None:
    texts = [f"number {n} is great" if n % 7 else "" for n in range(1100)]
    source, out = tmp_path / "texts.txt.gz", tmp_path / "out.jsonl"
    source.write_bytes(gzip.compress("".join(f"{text}\n" for text in texts).encode()))
    result = CliRunner().invoke(app, ["sentiment", "analyze", str(source), "--out", str(out)])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["text"] for row in rows] == texts
    assert "embedding" not in rows[0]
    wanted = scorer.score(texts)["polarity"].to_list()
    assert [row["polarity"] for row in rows] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.usefixtures("_loaded")
def test_json_lines_keep_what_they_hold(tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    lines = [{"id": 7, "text": "很好用", "source": "survey"}, {"text": "awful", "language": "xx"}]
    source.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    result = CliRunner().invoke(app, ["sentiment", "analyze", str(source), "--embedding"])
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["id"], first["source"], first["language"]) == (7, "survey", "zh")
    assert second["language"] == "en"
    assert len(second["embedding"]) == 384
    assert np.linalg.norm(second["embedding"]) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"text": "a"}', "no json"], "line 2 is no JSON"),
        (['{"text": 3}'], 'line 1 is no object with a string "text"'),
        (['{"text": "a"}', '"b"'], "line 2 is no object"),
    ],
)
def test_a_line_that_is_no_object_is_named(lines: list[str], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        list(text_lines((line.encode() for line in lines), "x.jsonl"))


def test_bytes_that_are_no_utf8_are_named() -> None:
    with pytest.raises(BadInputError, match="line 2 is not UTF-8"):
        list(text_lines(iter([b"fine\n", b"\xff\xfe\n"]), "x.txt"))


def test_a_gzip_file_that_ends_early_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\n" + b"word,positive\n" * 5000)[:60])
    with pytest.raises(BadInputError, match="damaged gzip file"):
        read_table(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"cannot read .*nowhere"), opened(tmp_path / "nowhere"):
        pass


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.docx", b"words", "cannot tell what .docx is"),
        ("x.csv", b"", "is empty"),
        ("x.jsonl", b"no json", "cannot be read as .jsonl"),
        ("x.parquet", b"no parquet", "cannot be read as .parquet"),
    ],
)
def test_a_file_of_another_kind_is_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=message):
        read_table(tmp_path / name)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_labels_come_from_files_of_every_kind(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    writers = {
        "csv": LABELS.write_csv,
        "tsv": lambda path: LABELS.write_csv(path, separator="\t"),
        "jsonl": LABELS.write_ndjson,
        "parquet": LABELS.write_parquet,
    }
    writers[ending](path)
    labelled = read_labelled(path, "text", "label", None)
    assert labelled.texts == LABELS["text"].to_list()
    assert labelled.label.tolist() == [2, 0, 2, 0]


@pytest.mark.parametrize(
    ("column", "mapping", "wanted"),
    [
        ("stars", None, [2, 0, 2, 0]),
        ("number", '{"0": "negative", "1": "positive"}', [2, 0, 2, 0]),
        ("stars", '{"5": "positive", "4": "neutral", "1": null, "2": null}', [2, 1]),
    ],
)
def test_labels_of_every_kind(
    tmp_path: Path, column: str, mapping: str | None, wanted: list[int]
) -> None:
    LABELS.write_csv(tmp_path / "x.csv")
    assert read_labelled(tmp_path / "x.csv", "text", column, mapping).label.tolist() == wanted


@pytest.mark.parametrize(
    ("columns", "mapping", "error", "message"),
    [
        (("words", "label"), None, BadInputError, "has no column words; it has text, label"),
        (("text", "number"), None, BadInputError, "cannot tell what the labels 0, 1 mean"),
        (("text", "number"), '{"0": "bad"}', BadInputError, "--map must map labels to negative"),
        (("text", "number"), "{", BadInputError, "--map is no JSON"),
        (("text", "number"), '{"0": "negative"}', BadInputError, "labels without a class: 1"),
        (("text", "number"), '{"0": null, "1": null}', NotDecidableError, "no rows with a text"),
    ],
)
def test_labels_that_cannot_be_read_say_why(
    tmp_path: Path,
    columns: tuple[str, str],
    mapping: str | None,
    error: type[Exception],
    message: str,
) -> None:
    LABELS.write_csv(tmp_path / "x.csv")
    with pytest.raises(error, match=message):
        read_labelled(tmp_path / "x.csv", *columns, mapping)


def test_figures_of_two_classes(tmp_path: Path, scorer: ReviewScorer) -> None:
    LABELS.write_csv(tmp_path / "x.csv")
    figures = evaluate_sentiment(scorer, read_labelled(tmp_path / "x.csv", "text", "label", None))
    assert figures["classes"] == ["negative", "positive"]
    assert figures["confusion"] == [[2, 0], [0, 2]]
    assert (figures["accuracy"], figures["macro_f1"], figures["auc"]) == (1.0, 1.0, 1.0)
    assert figures["n"] == 4
    assert {name: found["n"] for name, found in figures["language"].items()} == {"en": 3, "zh": 1}
    assert sum(found["n"] for found in figures["length"].values()) == 4
    assert figures["language"]["zh"]["auc"] is None
    assert 0 <= figures["ece_after_temperature"] <= 1


def test_a_neutral_label_makes_three_classes(tmp_path: Path, scorer: ReviewScorer) -> None:
    LABELS.write_csv(tmp_path / "x.csv")
    mapping = '{"5": "positive", "4": "positive", "2": "neutral", "1": "negative"}'
    figures = evaluate_sentiment(
        scorer, read_labelled(tmp_path / "x.csv", "text", "stars", mapping)
    )
    assert figures["classes"] == ["negative", "neutral", "positive"]
    assert np.array(figures["confusion"]).sum() == 4
    assert figures["per_class"]["neutral"]["n"] == 1


@pytest.mark.usefixtures("_loaded")
def test_the_machine_copy_alone_goes_to_standard_output(tmp_path: Path) -> None:
    LABELS.write_csv(tmp_path / "x.csv")
    options = [
        "--file",
        str(tmp_path / "x.csv"),
        "--text-column",
        "text",
        "--label-column",
        "label",
    ]
    result = CliRunner().invoke(app, ["sentiment", "evaluate", *options, "--json", "-"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {"accuracy", "macro_f1", "auc", "ece", "confusion", "n"} <= set(found)


def test_a_reader_that_has_seen_enough_causes_no_traceback(tmp_path: Path) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("good\n" * 3000)
    command = f"{sys.executable} -m jobs.cli sentiment analyze {source} | head -1"
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["text"] == "good"
    assert "Traceback" not in done.stderr
