"""The sentences whose needs and wishes were labelled by hand: which they are, without their text.

python -m benchmarks.needs_sample --data ../shared/data > sentences.jsonl

Three hundred sentences of real reviews, drawn by a fixed seed: a hundred that begin to wish, to
suggest or to miss something, a hundred that hold any word people wish or ask with, and a hundred
drawn from everything, so that needs put in other words count too. Two in three are English. The
first hundred (`tune`) may be looked at when rules are written, the others (`test`) are read once.
"""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer

from sentiment.sentences import sentence_spans

SEED = 20261123
_NETS = {
    "en": (
        r"\bwish\b|if only|would be (?:nice|better|great|perfect)|would have been|"
        r"should(?:'ve| have| be|"
        r" come)|could(?:'ve| have| be)|hop(?:e|ing) (?:they|the|it)|too bad|lacks|"
        r"needs? (?:a|to|more)|"
        r"(?:looking|look) for|only (?:thing|complaint)|why (?:do|does|did|is|can)|suggest|\?",
        r"\b(?:wish|hope|should|could|would|want|need|instead|prefer|add|improve|missing|without)",
    ),
    "zh": (
        r"希望|建议|要是|能不能|可不可以|可惜|改进|为什么|想要|就好了|就更|应该|美中不足|？",
        r"如果|最好|怎么|需要|没有|不够|缺|吗|少",
    ),
}
_NUM = {"en": (67, 67, 66), "zh": (33, 33, 34)}
_FILES = {
    "en": (
        "reviews/amazon_musical_instruments_2014_5core.jsonl.gz",
        "reviews/amazon_office_products_2018_ratingbalanced_sample.jsonl.gz",
        "reviews/womens_clothing.csv.gz",
    ),
    "zh": ("reviews_zh/online_shopping_10_cats.csv.gz",),
}


def sample(data: Path) -> list[dict[str, Any]]:
    """Return the sentences in the order of labelling: `file, row, start, end, split, text`.

    `row` counts the reviews of a file from 0; `start` and `end` are characters of its text.
    """
    rng = np.random.default_rng(SEED)
    picked = []
    for language, files in _FILES.items():
        everything = [sentence for file in files for sentence in _sentences(data, file)]
        texts = [sentence["text"] for sentence in everything]
        left = np.ones(len(texts), dtype=bool)
        for net, num in zip((*_NETS[language], ""), _NUM[language], strict=True):
            caught = [bool(re.search(net, text, re.IGNORECASE)) for text in texts]
            chosen = rng.choice(np.flatnonzero(left & caught), num, replace=False)
            left[chosen] = False
            picked += [everything[row] | {"language": language} for row in chosen]
    order = rng.permutation(len(picked))
    return [
        picked[place] | {"id": number, "split": "tune" if number < 100 else "test"}
        for number, place in enumerate(order)
    ]


def review_texts(data: Path, file: str) -> list[str | None]:
    """Return the texts of a file's reviews, by row."""
    column = {"womens_clothing.csv.gz": "Review Text", "online_shopping_10_cats.csv.gz": "review"}
    with gzip.open(data / file) as opened:
        if file.endswith(".jsonl.gz"):
            return pl.read_ndjson(opened.read())["text"].to_list()
        return pl.read_csv(opened.read())[column[Path(file).name]].to_list()


def _sentences(data: Path, file: str) -> Iterator[dict[str, Any]]:
    for row, text in enumerate(review_texts(data, file)):
        for start, end in sentence_spans(text or ""):
            if 8 <= end - start <= 300:
                yield {
                    "file": file,
                    "row": row,
                    "start": start,
                    "end": end,
                    "text": (text or "")[start:end],
                }


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the reviews.")],
) -> None:
    """Print the sentences as JSON lines."""
    for sentence in sample(data):
        typer.echo(json.dumps(sentence, ensure_ascii=False))


if __name__ == "__main__":
    typer.run(main)
