"""How well needs are found, on sentences that were labelled by reading.

python -m benchmarks.needs --data ../shared/data [--split report] [--json F]

A found need is right when it shares at least half of its words with a labelled one (characters in
both, over characters in either); precision, recall and F1 count needs. Of the right ones, the share
with the right kind is given beside. The peers are the rules without the head, and a mark on every
sentence with a wishing word as a whole.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from jobs.needs_labels import (
    LEARNED_SPLITS,
    REPORTED_SPLIT,
    VALID_SPLIT,
    LabelledSentence,
    labelled_sentences,
)
from sentiment.needs import Need, find_needs
from sentiment.scorer import ReviewScorer, ScorerConfig

_WISH = re.compile(r"\bwish|\bshould\b|\bcould\b|hoping|希望|建议|要是|应该|[?？]$", re.IGNORECASE)
Found = list[tuple[int, int, str]]
_SPLITS = (*LEARNED_SPLITS, VALID_SPLIT, REPORTED_SPLIT)


def measure(
    sentences: Sequence[LabelledSentence], find: Callable[[str], Found]
) -> dict[str, float]:
    """Return precision, recall, F1, and the share of right needs that have the right kind."""
    found = right = wanted = right_kind = 0
    for sentence in sentences:
        open_needs = list(sentence.needs)
        wanted += len(open_needs)
        for start, end, kind in find(sentence.text):
            found += 1
            hit = next((need for need in open_needs if _overlap(need, start, end) >= 0.5), None)
            if hit is not None:
                open_needs.remove(hit)
                right += 1
                right_kind += hit.kind == kind
    precision, recall = right / max(1, found), right / max(1, wanted)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(1e-9, precision + recall),
        "kind": right_kind / max(1, right),
        "needs": float(wanted),
        "sentences": float(len(sentences)),
    }


def by_product(scorer: ReviewScorer) -> Callable[[str], Found]:
    """Find needs as the product does: by the rules, and by the head where they see none."""

    def find(text: str) -> Found:
        found = scorer.score([text])["needs"][0].to_list()
        return [(need["start"], need["end"], need["kind"]) for need in found]

    return find


def by_rules(text: str) -> Found:
    """Find needs by the rules alone."""
    return [(need.start, need.end, need.kind) for need in find_needs(text)]


def by_word(text: str) -> Found:
    """Mark a whole sentence that holds a wishing word."""
    return [(0, len(text), "improvement")] if _WISH.search(text) else []


def _overlap(need: Need, start: int, end: int) -> float:
    both = min(need.end, end) - max(need.start, start)
    return max(0, both) / (max(need.end, end) - min(need.start, start))


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the reviews.")],
    split: Annotated[str, typer.Option(help=", ".join(_SPLITS))] = REPORTED_SPLIT,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    show: Annotated[bool, typer.Option(help="Print what was missed and what was wrong.")] = False,
) -> None:
    """Run the benchmark."""
    if split not in _SPLITS:
        raise typer.BadParameter(f"split must be one of {', '.join(_SPLITS)}")
    sentences, console = labelled_sentences(data, (split,)), Console(width=100)
    product = by_product(ReviewScorer.load(ScorerConfig()))
    results = {
        "rules and head": measure(sentences, product),
        "rules": measure(sentences, by_rules),
        "a wishing word": measure(sentences, by_word),
    }
    table = Table(title=f"needs, {split}: {len(sentences)} sentences")
    table.add_column("found by")
    for name in results["rules"]:
        table.add_column(name, justify="right")
    for name, result in results.items():
        table.add_row(name, *(f"{value:.3g}" for value in result.values()))
    console.print(table)
    if show:
        for sentence in sentences:
            found = product(sentence.text)
            one = measure([sentence], product)
            if one["f1"] < 1 and (sentence.needs or found):
                wanted = [need.text for need in sentence.needs]
                parts = [sentence.text[a:b] for a, b, _ in found]
                console.print(sentence.text, wanted, parts, markup=False)
    write(json, {"split": split, "metrics": results})


if __name__ == "__main__":
    typer.run(main)
