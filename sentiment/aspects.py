"""From the words of a text to canonical aspects: a list by kind of product that a shop can edit."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sentiment.errors import AspectListError
from sentiment.language import detect_language

ASPECTS_FILE = Path(__file__).parent / "aspects.toml"
GENERAL = "general"
_WORDS = ("en", "zh", "implies_en", "implies_zh")
_LETTERS = re.compile(r"[a-z]+")
_ARTICLE = re.compile(r"^(?:the|a|an|my|its|their|this|these|those|your|our) ")


@dataclass(frozen=True, kw_only=True)
class Aspect:
    """One canonical aspect: its words, and words that mean it without naming it."""

    name: str
    words: frozenset[str]
    implied_by: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class AspectList:
    """Canonical aspects of each kind of product.

    Attributes:
        kinds: For each kind, the words by which a product category is known to be of it.
        aspects: For each kind, `general` among them, its aspects.
    """

    kinds: Mapping[str, tuple[str, ...]]
    aspects: Mapping[str, tuple[Aspect, ...]]

    @classmethod
    def load(cls, path: Path = ASPECTS_FILE) -> "AspectList":
        """Read a list of aspects.

        Raises:
            AspectListError: If the file cannot be read or is of another form; the message names
                the place.
        """
        try:
            content = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise AspectListError(f"the list of aspects {path} cannot be read: {error}") from error
        unknown = set(content) - {"kinds", "aspects"}
        if unknown or GENERAL not in content.get("aspects", {}):
            raise AspectListError(
                f"{path} needs [kinds] and [aspects.{GENERAL}.NAME] and nothing else; it has "
                f"{', '.join(sorted(content)) or 'nothing'}"
            )
        kinds = {kind: _strings(path, f"kinds.{kind}", v) for kind, v in content["kinds"].items()}
        nameless = set(content["aspects"]) - set(kinds) - {GENERAL}
        if nameless:
            raise AspectListError(
                f"{path}: aspects of kinds that [kinds] lacks: {', '.join(sorted(nameless))}"
            )
        return cls(
            kinds=kinds,
            aspects={
                kind: tuple(_aspect(path, kind, name, words) for name, words in of_kind.items())
                for kind, of_kind in content["aspects"].items()
            },
        )

    def kind_of(self, categories: Iterable[str]) -> str:
        """Return the kind of a product from its categories, the most special one that is known.

        >>> AspectList.load().kind_of(["Musical Instruments", "Guitars"])
        'instruments'
        """
        for category in reversed(list(categories)):
            for kind, words in self.kinds.items():
                if any(word in category.lower() for word in words):
                    return kind
        return GENERAL

    def canonical(self, term: str, kind: str | None = None) -> str | None:
        """Return the aspect that a term names, None where the list has none for it.

        The whole term counts first, then the longest word of the list within it; the product's own
        kind before `general`. A term such as "overpriced" names what it implies.

        Args:
            term: Words of a text.
            kind: Of the product; None where it is not known: then `general` counts first, and every
                other kind after it.

        >>> aspects = AspectList.load()
        >>> aspects.canonical("the battery life", "electronics"), aspects.canonical("做工")
        ('battery', 'quality')
        """
        wanted = _normal(term)
        searched = self._searched(kind)
        for words in searched:
            for form in (wanted, wanted.removesuffix("s"), wanted.removesuffix("es")):
                if form in words.named:
                    return words.named[form]
        for words in searched:
            inside = words.find_named(wanted)
            if inside:
                return words.named[max(inside, key=lambda word: (len(word), word))]
        return next(iter(self.implied(wanted, kind)), None)

    def implied(self, sentence: str, kind: str | None = None) -> list[str]:
        """Return aspects that a sentence speaks of without naming them, sorted.

        >>> AspectList.load().implied("Way too expensive, and it broke after a week.")
        ['durability', 'price']
        """
        lowered = sentence.lower()
        if not self._implies_any(lowered):
            return []
        return sorted(
            {
                words.implied[word]
                for words in self._searched(kind)
                for word in words.find_implied(lowered)
            }
        )

    def _searched(self, kind: str | None) -> list["_Words"]:
        words, general = self._words, self._words[GENERAL]
        if kind is None:
            return [general, *(words[other] for other in words if other != GENERAL)]
        return [words[kind], general] if kind in words and kind != GENERAL else [general]

    @cached_property
    def _implies_any(self) -> Callable[[str], list[str]]:
        """One search over the words of every kind: most sentences hold none."""
        return _finder({word for words in self._words.values() for word in words.implied})

    @cached_property
    def _words(self) -> dict[str, "_Words"]:
        return {kind: _Words.of(aspects) for kind, aspects in self.aspects.items()}


@dataclass(frozen=True, kw_only=True)
class _Words:
    """The words of one kind, each with its aspect; of a word with two aspects the first counts."""

    named: dict[str, str]
    implied: dict[str, str]
    find_named: Callable[[str], list[str]]
    find_implied: Callable[[str], list[str]]

    @classmethod
    def of(cls, aspects: Sequence[Aspect]) -> "_Words":
        named = {word: aspect.name for aspect in reversed(aspects) for word in aspect.words}
        implied = {word: aspect.name for aspect in reversed(aspects) for word in aspect.implied_by}
        return cls(
            named=named,
            implied=implied,
            find_named=_finder(named),
            find_implied=_finder(implied),
        )


def _finder(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what finds words in a text: whole words in Latin script, anywhere in Chinese."""
    chinese: list[str] = []
    latin: list[str] = []
    for word in sorted(words, key=lambda word: (-len(word), word)):
        (chinese if detect_language(word) == "zh" else latin).append(re.escape(word))
    parts = []
    if chinese:
        parts.append(f"(?:{'|'.join(chinese)})")
    if latin:
        parts.append(f"(?<![a-z])(?:{'|'.join(latin)})(?![a-z])")
    if not parts:
        return lambda text: []
    pattern = re.compile("|".join(parts))
    # A word is only where its first run of letters is, and most texts hold none of those.
    first = {run for word in latin for run in _LETTERS.findall(word)[:1]}
    if not all(map(_LETTERS.search, latin)):
        return pattern.findall

    def find(text: str) -> list[str]:
        if text.isascii() and first.isdisjoint(_LETTERS.findall(text)):
            return []
        return pattern.findall(text)

    return find


def _normal(term: str) -> str:
    return _ARTICLE.sub("", " ".join(term.lower().split()).strip(" .,;:!?\"'"))


def _aspect(path: Path, kind: str, name: str, words: Any) -> Aspect:
    place = f"aspects.{kind}.{name}"
    if not isinstance(words, dict) or not set(words) <= set(_WORDS):
        raise AspectListError(f"{path}: [{place}] may have {', '.join(_WORDS)} and nothing else")
    lists = {key: _strings(path, f"{place}.{key}", words.get(key, [])) for key in _WORDS}
    named = frozenset((*lists["en"], *lists["zh"]))
    if not named:
        raise AspectListError(f"{path}: [{place}] has no words")
    implied_by = frozenset((*lists["implies_en"], *lists["implies_zh"]))
    return Aspect(name=name, words=named, implied_by=implied_by)


def _strings(path: Path, place: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) and v.strip() for v in values):
        raise AspectListError(f"{path}: {place} must be a list of words, not {values!r}")
    return tuple(value.lower() for value in values)
