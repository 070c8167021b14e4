"""More training texts from few: synonyms, insertion, deletion and swaps of words.

Source: Wei and Zou 2019, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text
Classification Tasks". Words that turn a meaning (negations, contrast) are neither removed, moved
nor replaced: labels must stay true.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from sentiment.language import detect_language

SYNONYMS_FILE = Path(__file__).parent / "synonyms.toml"
# fmt: off
_TURNING = frozenset((
    "not", "no", "never", "nothing", "nobody", "none", "neither", "nor", "without", "hardly",
    "barely", "but", "however", "although", "though", "except", "if", "too", "cannot",
    "不", "没", "无", "未", "别", "莫", "非", "但", "却", "而", "虽", "太", "如", "要", "才", "就",
))
# fmt: on
_ENGLISH = re.compile(r"\S+")
_CHINESE = re.compile(r"[A-Za-z0-9]+|\s+|.", re.DOTALL)
_LEAST_WORDS = 4


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How texts are changed.

    Attributes:
        copies: Changed copies of each text.
        share: Share of the words that each operation touches, at least one.
    """

    copies: int = 1
    share: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.copies < 0:
            raise ValueError(f"copies must not be negative, but is {self.copies}")
        if not 0 < self.share <= 0.5:
            raise ValueError(f"share must be within (0, 0.5], not {self.share}")


def augmented(
    texts: Sequence[str], config: AugmentConfig, *, seed: int = 0
) -> list[tuple[int, str]]:
    """Return changed copies of texts, each with the row it came from.

    A text of fewer than four words, or that no operation changed, gives no copy.

    >>> augmented(["The strap is great and the seller was quick."], AugmentConfig(), seed=1)
    [(0, 'The strap is great and the seller vendor was quick.')]
    """
    found = []
    for row, text in enumerate(texts):
        # Each text draws for itself: one more text changes no other's copies.
        rng = np.random.default_rng([seed, row])
        is_chinese = detect_language(text) == "zh"
        for _ in range(config.copies):
            changed = _changed(text, is_chinese, config.share, rng)
            if changed != text:
                found.append((row, changed))
    return found


def _changed(text: str, is_chinese: bool, share: float, rng: np.random.Generator) -> str:
    words = (_CHINESE if is_chinese else _ENGLISH).findall(text)
    # The word after one that turns a meaning is bound to it.
    turning = [_turns(word) for word in words]
    free = [
        place
        for place, turns in enumerate(turning)
        if not turns and not (place and turning[place - 1])
    ]
    if len(words) < _LEAST_WORDS or not free:
        return text
    synonyms = _synonyms()["zh" if is_chinese else "en"]
    joined = "" if is_chinese else " "
    operation = rng.choice(("synonym", "insertion", "deletion", "swap"))
    times = max(1, round(share * len(words)))
    if operation in ("synonym", "insertion"):
        return _with_synonyms(joined.join(words), synonyms, operation == "insertion", times, rng)
    chosen = rng.choice(free, min(times, len(free)), replace=False)
    if operation == "deletion":
        gone = set(chosen.tolist())
        return joined.join(word for place, word in enumerate(words) if place not in gone)
    movable = set(free)
    for place in chosen.tolist():
        other = place + 1
        if other in movable:
            words[place], words[other] = words[other], words[place]
    return joined.join(words)


def _with_synonyms(
    text: str,
    synonyms: Mapping[str, tuple[str, ...]],
    insert: bool,
    times: int,
    rng: np.random.Generator,
) -> str:
    """Replace words by synonyms, or put a synonym beside them."""
    matches = [
        match
        for match in _known_words(frozenset(synonyms)).finditer(text)
        if not _turns(text[max(0, match.start() - 1) : match.start()])
    ]
    if not matches:
        return text
    picked = rng.choice(len(matches), min(times, len(matches)), replace=False)
    for number in sorted(picked.tolist(), reverse=True):
        match = matches[number]
        other = str(rng.choice(synonyms[match[0].lower()]))
        gap = " " if match[0].isascii() else ""
        put = f"{match[0]}{gap}{other}" if insert else other
        text = text[: match.start()] + put + text[match.end() :]
    return text


def _turns(word: str) -> bool:
    lowered = word.lower().strip(".,;:!?\"'()")
    return lowered in _TURNING or lowered.endswith("n't")


@cache
def _known_words(words: frozenset[str]) -> re.Pattern[str]:
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    latin = "|".join(re.escape(word) for word in longest_first if word.isascii())
    other = "|".join(re.escape(word) for word in longest_first if not word.isascii())
    parts = [rf"\b(?:{latin})\b"] if latin else []
    return re.compile("|".join([*parts, *([other] if other else [])]), re.IGNORECASE)


@cache
def _synonyms() -> dict[str, dict[str, tuple[str, ...]]]:
    """For each language, the other words of each word's groups."""
    content = tomllib.loads(SYNONYMS_FILE.read_text("utf-8"))["synonyms"]
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for language, groups in content.items():
        others: dict[str, tuple[str, ...]] = {}
        for group in groups:
            for word in group:
                rest = tuple(other for other in group if other != word)
                others[word] = others.get(word, ()) + rest
        found[language] = others
    return found
