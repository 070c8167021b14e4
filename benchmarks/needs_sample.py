"""The sentences whose needs and wishes were labelled by hand: which they are, without their text.

python -m benchmarks.needs_sample --data ../shared/data [--draw 6] > sentences.jsonl

Sentences of real reviews, by a fixed seed: half of them begin to wish, to suggest, to miss or to
ask something, a quarter hold any word people wish or ask with, and a quarter are drawn from
everything, so that needs put in other words count too. Two in three are English. No draw holds a
sentence of one before it. The first (300: `tune`, `test`), the second (300: `check`), the third
(300: `reported`), the fourth (1,000) and the fifth (2,400; both `train`) are learned from; the
sixth (300, once reported on) and the seventh (300; both `valid`) choose thresholds, and the eighth
and the tenth (300 each; both `report`) are read once. The ninth (1,800, all Chinese: `unread`) no
model has read. Of the fifth and the ninth three in five begin to wish and one in ten is of
everything.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from jobs.needs_labels import review_texts
from sentiment.sentences import sentence_spans

SEEDS = {
    1: 20261124,
    2: 20261125,
    3: 20261126,
    4: 20261127,
    5: 20261128,
    6: 20261129,
    7: 20261130,
    8: 20261201,
    9: 20261202,
    10: 20261203,
}
_NETS = {
    "en": (
        r"\bwish(?:ed)? (?:it|they|i|the|that|this|there|these|you)\b|\bif only\b|"
        r"hoping (?:for|it|they)|"
        r"would(?:'ve| have)? be(?:en)? (?:nice|nicer|better|great|perfect|good|helpful)"
        r" (?:if|to|with)|"
        r"should(?:'ve| have| be| come| include)\b|"
        r"could(?:'ve| have been| use| be (?:a|better|more))\b|"
        r"\bneeds? (?:a|to be|more|some) |\?$",
        r"\b(?:wish|hope|should|could|would|want|need|instead|prefer|add|improve|missing|without|lack)",
    ),
    "zh": (
        r"希望(?:能|可以|下次|商家|京东|店家|卖家|改|出|以后|加)|建议|要是.*就|如果.*就|能不能|可不可以|有没有|"
        r"应该(?:有|再|加|改|给)|改进|想要|？$",
        r"希望|如果|最好|怎么|需要|没有|不够|缺|吗|少|可惜",
    ),
}
_SPLITS = {
    2: "check",
    3: "reported",
    6: "valid",
    7: "valid",
    8: "report",
    9: "unread",
    10: "report",
}
_NUM = {"en": (100, 50, 50), "zh": (50, 25, 25)}
_NUM_TO_TRAIN = {
    4: {"en": (340, 160, 160), "zh": (170, 85, 85)},
    5: {"en": (1020, 510, 170), "zh": (420, 210, 70)},
    9: {"en": (0, 0, 0), "zh": (1080, 540, 180)},
}
_FILES = {
    "en": (
        "reviews/amazon_musical_instruments_2014_5core.jsonl.gz",
        "reviews/amazon_office_products_2018_ratingbalanced_sample.jsonl.gz",
        "reviews/womens_clothing.csv.gz",
    ),
    "zh": ("reviews_zh/online_shopping_10_cats.csv.gz",),
}


@cache
def sample(data: Path, draw: int = 1) -> list[dict[str, Any]]:
    """Return the sentences in the order of labelling: `file, row, start, end, split, text`.

    `row` counts the reviews of a file from 0; `start` and `end` are characters of its text.
    """
    rng = np.random.default_rng(SEEDS[draw])
    before = {sentence["text"] for one in range(1, draw) for sentence in sample(data, one)}
    nums = _NUM_TO_TRAIN.get(draw, _NUM)
    picked = []
    for language, files in _FILES.items():
        everything = [sentence for file in files for sentence in _sentences(data, file)]
        texts = [sentence["text"] for sentence in everything]
        left = np.array([text not in before for text in texts])
        for net, num in zip((*_NETS[language], ""), nums[language], strict=True):
            caught = [bool(re.search(net, text, re.IGNORECASE)) for text in texts]
            chosen = rng.choice(np.flatnonzero(left & caught), num, replace=False)
            left[chosen] = False
            picked += [everything[row] | {"language": language} for row in chosen]
    order = rng.permutation(len(picked))
    return [
        picked[place] | {"id": number, "split": _split(draw, number)}
        for number, place in enumerate(order)
    ]


def _split(draw: int, number: int) -> str:
    if draw == 1:
        return "tune" if number < 100 else "test"
    return _SPLITS.get(draw, "train")


@cache
def _sentences(data: Path, file: str) -> list[dict[str, Any]]:
    return list(_read_sentences(data, file))


def _read_sentences(data: Path, file: str) -> Iterator[dict[str, Any]]:
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
    draw: Annotated[int, typer.Option(min=1, max=max(SEEDS), help="Which sentences.")] = 1,
) -> None:
    """Print the sentences as JSON lines."""
    for sentence in sample(data, draw):
        typer.echo(json.dumps(sentence, ensure_ascii=False))


if __name__ == "__main__":
    typer.run(main)
