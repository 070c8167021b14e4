"""How well needs are found, on sentences that were labelled by hand.

python -m benchmarks.needs --data ../shared/data [--split tune] [--json F]

A found need is right when it shares at least half of its words with a labelled one (characters in
both, over characters in either); precision, recall and F1 count needs. Of the right ones, the share
with the right kind is given beside. The baseline marks every sentence with a wishing word whole.
"""

import json as json_module
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from benchmarks.needs_sample import review_texts
from sentiment.needs import find_needs

LABELS = Path(__file__).parent / "labels" / "needs.jsonl"
_WISH = re.compile(r"\bwish|\bshould\b|\bcould\b|hoping|希望|建议|要是|应该|[?？]$", re.IGNORECASE)
Found = list[tuple[int, int, str]]


def labelled(data: Path, split: str) -> list[dict[str, Any]]:
    """Return the labelled sentences of a split with their text."""
    rows = [json_module.loads(line) for line in LABELS.read_text().splitlines()]
    texts = {file: review_texts(data, file) for file in {row["file"] for row in rows}}
    return [
        row | {"text": (texts[row["file"]][row["row"]] or "")[row["start"] : row["end"]]}
        for row in rows
        if row["split"] == split
    ]


def measure(rows: list[dict[str, Any]], find: Callable[[str], Found]) -> dict[str, float]:
    """Return precision, recall, F1, and the share of right needs that have the right kind."""
    found = right = wanted = right_kind = 0
    for row in rows:
        open_needs = [
            (need["start"] - row["start"], need["end"] - row["start"], need["kind"])
            for need in row["needs"]
        ]
        wanted += len(open_needs)
        for start, end, kind in find(row["text"]):
            found += 1
            hit = next((need for need in open_needs if _overlap(need, (start, end)) >= 0.5), None)
            if hit is not None:
                open_needs.remove(hit)
                right += 1
                right_kind += hit[2] == kind
    precision, recall = right / max(1, found), right / max(1, wanted)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(1e-9, precision + recall),
        "kind": right_kind / max(1, right),
        "needs": float(wanted),
        "sentences": float(len(rows)),
    }


def by_rules(text: str) -> Found:
    """Find needs as the product does."""
    return [(need.start, need.end, need.kind) for need in find_needs(text)]


def by_word(text: str) -> Found:
    """Mark a whole sentence that holds a wishing word."""
    return [(0, len(text), "improvement")] if _WISH.search(text) else []


def _overlap(need: tuple[int, int, str], span: tuple[int, int]) -> float:
    both = min(need[1], span[1]) - max(need[0], span[0])
    return max(0, both) / (max(need[1], span[1]) - min(need[0], span[0]))


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the reviews.")],
    split: Annotated[str, typer.Option(help="tune or test.")] = "test",
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    show: Annotated[bool, typer.Option(help="Print what was missed and what was wrong.")] = False,
) -> None:
    """Run the benchmark."""
    rows, console = labelled(data, split), Console(width=100)
    table = Table(title=f"needs, {split}: {len(rows)} sentences")
    results = {"rules": measure(rows, by_rules), "a wishing word": measure(rows, by_word)}
    table.add_column("found by")
    for name in results["rules"]:
        table.add_column(name, justify="right")
    for name, result in results.items():
        table.add_row(name, *(f"{value:.3g}" for value in result.values()))
    console.print(table)
    if show:
        for row in rows:
            one = measure([row], by_rules)
            if one["f1"] < 1 and (row["needs"] or by_rules(row["text"])):
                found = [row["text"][a:b] for a, b, _ in by_rules(row["text"])]
                console.print(row["id"], row["text"], found, markup=False)
    write(json, {"split": split, "metrics": results})


if __name__ == "__main__":
    typer.run(main)
