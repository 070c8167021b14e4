"""Sentences of real reviews whose needs were labelled by reading; see `jobs/labels/README.md`."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sentiment.needs import Need

REPORTED_SPLIT = "report"
VALID_SPLIT = "valid"
# Labelled after the models that ship were trained: for the next.
UNREAD_SPLIT = "unread"
LEARNED_SPLITS = ("tune", "test", "check", "reported", "train")
LABELS = Path(__file__).parent / "labels" / "needs.jsonl"
_COLUMNS = {"womens_clothing.csv.gz": "Review Text", "online_shopping_10_cats.csv.gz": "review"}


@dataclass(frozen=True, kw_only=True)
class LabelledSentence:
    """A sentence, its language (`en` or `zh`), and the needs in it; spans are of the sentence."""

    language: str
    text: str
    needs: list[Need]


def labelled_sentences(data: Path, splits: tuple[str, ...]) -> list[LabelledSentence]:
    """Return the sentences of some of `LEARNED_SPLITS` and the other splits."""
    rows = [json.loads(line) for line in LABELS.read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["split"] in splits]
    texts = {file: review_texts(data, file) for file in sorted({row["file"] for row in rows})}
    found = []
    for row in rows:
        first = row["start"]
        sentence = (texts[row["file"]][row["row"]] or "")[first : row["end"]]
        needs = [
            Need(
                start=need["start"] - first,
                end=need["end"] - first,
                text=sentence[need["start"] - first : need["end"] - first],
                kind=need["kind"],
            )
            for need in row["needs"]
        ]
        found.append(LabelledSentence(language=row["language"], text=sentence, needs=needs))
    return found


def review_texts(data: Path, file: str) -> list[str | None]:
    """Return the texts of a file's reviews, by row."""
    with gzip.open(data / file) as opened:
        if file.endswith(".jsonl.gz"):
            return pl.read_ndjson(opened.read())["text"].to_list()
        return pl.read_csv(opened.read())[_COLUMNS[Path(file).name]].to_list()
