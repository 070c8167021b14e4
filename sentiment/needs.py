"""Needs and wishes that a text voices: rules for English and Chinese, a sentence at a time.

A need is a wish that a shop or maker could act on. The rules are in `needs.toml` beside this
file: a pattern that begins at the wishing word and ends with its clause, and a counter-pattern
for words that only praise, advise other buyers or hope.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

from sentiment.language import detect_language
from sentiment.sentences import sentence_spans

NeedKind = Literal["missing_feature", "improvement", "other_product", "question"]
RULES_FILE = Path(__file__).parent / "needs.toml"
_CLAUSE = re.compile(r"[,.;:!?()，。；：！？]")
NEED_KINDS: tuple[NeedKind, ...] = ("missing_feature", "improvement", "other_product", "question")


@dataclass(frozen=True, kw_only=True)
class Need:
    """One need: characters start:end of the text, the words between, and of what kind it is."""

    start: int
    end: int
    text: str
    kind: NeedKind


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """A rule; of its `words`, in small letters, every match holds one."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    kind: NeedKind | None
    unless: re.Pattern[str] | None


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """The rules of one language, and what tells that a need adds something."""

    rules: tuple[_Rule, ...]
    adds: re.Pattern[str]


def find_needs(text: str) -> list[Need]:
    """Return the needs a cleaned text voices, in order, at most one a clause.

    >>> [(need.text, need.kind) for need in find_needs("Good tuner, but I wish it had a light.")]
    [('I wish it had a light', 'missing_feature')]
    >>> [(need.text, need.kind) for need in find_needs("很好用，要是有黑色就好了。")]
    [('要是有黑色就好了', 'missing_feature')]
    """
    found = []
    for start, end in sentence_spans(text):
        sentence = text[start:end]
        is_chinese = not sentence.isascii() and detect_language(sentence) == "zh"
        found += [
            Need(start=start + a, end=start + b, text=sentence[a:b], kind=kind)
            for a, b, kind in _in_sentence(sentence, _rules("zh" if is_chinese else "en"))
        ]
    return found


def _in_sentence(sentence: str, language: _Rules) -> list[tuple[int, int, NeedKind]]:
    found: list[tuple[int, int, NeedKind]] = []
    lowered = sentence.lower()
    for rule in language.rules:
        if not any(word in lowered for word in rule.words):
            continue
        for match in rule.pattern.finditer(sentence):
            clause = match[0].strip(" ,.;!?，。；！？")
            start = match.start() + match[0].index(clause)
            end = start + len(clause)
            taken = any(start < b and a < end for a, b, _ in found)
            before = _CLAUSE.split(sentence[:start])[-1]
            if taken or (rule.unless and rule.unless.search(before + sentence[start:end])):
                continue
            found.append((start, end, rule.kind or _kind_of(clause, language.adds)))
    return sorted(found)


def _kind_of(clause: str, adds: re.Pattern[str]) -> NeedKind:
    return "missing_feature" if adds.search(clause) else "improvement"


@cache
def _rules(language: str) -> _Rules:
    with RULES_FILE.open("rb") as file:
        content = tomllib.load(file)
    parts = {name: _joined(part) for name, part in content["parts"][language].items()}

    def compiled(pattern: str | list[str]) -> re.Pattern[str]:
        text = _joined(pattern)
        for name, part in parts.items():
            text = text.replace(f"{{{name}}}", part)
        return re.compile(text, re.IGNORECASE)

    rules = tuple(
        _Rule(
            words=tuple(rule["words"]),
            pattern=compiled(rule["pattern"]),
            kind=cast(NeedKind | None, rule.get("kind")),
            unless=compiled(rule["unless"]) if "unless" in rule else None,
        )
        for rule in content["rules"][language]
    )
    return _Rules(
        rules=rules,
        adds=compiled(content["adds"][language]),
    )


def _joined(pattern: str | list[str]) -> str:
    return pattern if isinstance(pattern, str) else "".join(pattern)
