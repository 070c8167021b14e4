"""Pairs of texts that differ only in who is spoken of, from templates or from real texts.

What a model says of the two should be the same. Sources: Kusner et al. 2017, "Counterfactual
Fairness"; Garg et al. 2019, "Counterfactual Fairness in Text Classification through Robustness";
for sentiment by templates Kiritchenko and Mohammad 2018, "Examining Gender and Race Bias in Two
Hundred Sentiment Analysis Systems".
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from sentiment.identity_words import SLOT, IdentityWords, Kind
from sentiment.language import detect_language

_LATIN = "A-Za-z\u00c0-\u024f"
# Words that begin with a vowel and are said with "an".
_SAID_WITH_AN = re.compile(r"(?!eu|one|uni|uk|us)[aeiou]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One text as said of two groups.

    Attributes:
        language: Of the text.
        kind: What the groups are told apart by.
        group: Of `text`, the one that the list names first.
        other_group: Of `other_text`.
        text: With words of `group`.
        other_text: The same with their counterparts.
        source: Number of the template or real text that both come from.
    """

    language: str
    kind: str
    group: str
    other_group: str
    text: str
    other_text: str
    source: int


def template_pairs(words: IdentityWords) -> list[Pair]:
    """Fill every template with the words of every kind that has all of its slots.

    Args:
        words: With templates; of a template with several slots, words at the same place go
            together.

    Returns:
        For each template, place in the lists and pair of groups one pair; `source` is the number of
        the template within its language.
    """
    return [
        pair
        for language, templates in words.templates.items()
        for source, template in enumerate(templates)
        for kind in words.kinds
        if kind.language == language
        for pair in _filled(template, kind, source)
    ]


def text_pairs(words: IdentityWords, texts: Sequence[str]) -> list[Pair]:
    """Swap the words of one group in real texts for their counterparts in each other group.

    A text gives pairs of a kind if it holds words of one group of it alone, none with several
    counterparts, and no phrase of `leave_out`. All its words of the kind are swapped together.

    Args:
        words: The lists; those of a text's language are looked for.
        texts: Cleaned.

    Returns:
        Pairs in the order of `texts`; `source` is the number of the text.

    >>> pairs = text_pairs(IdentityWords.load(), ["He says his wah is loud.", "Her amp is loud."])
    >>> [(pair.text, pair.other_text) for pair in pairs]
    [('She says her wah is loud.', 'He says his wah is loud.')]
    """
    swaps = [_Swaps(kind) for kind in words.kinds]
    found = []
    for source, text in enumerate(texts):
        language = detect_language(text)
        for of_kind in swaps:
            if of_kind.kind.language == language:
                found += of_kind.pairs(text, source)
    return found


class _Swaps:
    """Finds the words of one kind in texts, and swaps them."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._group_of = {
            word: group
            for by_group in kind.slots.values()
            for group, words in by_group.items()
            for word in words
        }
        self._counterparts: dict[tuple[str, str], set[str]] = {}
        for by_group in kind.slots.values():
            for group, words in by_group.items():
                for place, word in enumerate(words):
                    for other in kind.groups:
                        if other != group:
                            known = self._counterparts.setdefault((word, other), set())
                            known.add(by_group[other][place])
        listed, excepted = _any_of(self._group_of), _any_of(kind.excepted)
        self._words = re.compile(
            rf"(?P<article>\b[Aa]n? )?(?:(?P<excepted>{excepted})|(?P<word>{listed}))"
        )
        self._leave_out = re.compile(_any_of(kind.leave_out))

    def pairs(self, text: str, source: int) -> list[Pair]:
        """Return the pairs of one text, one for each other group."""
        held = {
            self._group_of[self._key(match["word"])]
            for match in self._words.finditer(text)
            if match["word"]
        }
        if len(held) != 1 or self._leave_out.search(text):
            return []
        (group,) = held
        found = []
        for other in self.kind.groups:
            swapped = None if other == group else self._swapped(text, other)
            if swapped is None or swapped == text:
                continue
            said = {group: text, other: swapped}
            first, second = sorted(said, key=self.kind.groups.index)
            found.append(_pair(self.kind, first, second, said, source))
        return found

    def _swapped(self, text: str, other: str) -> str | None:
        """Return the text as said of another group, None if a word has several counterparts."""
        parts, end = [], 0
        for match in self._words.finditer(text):
            if not match["word"]:
                continue
            key = self._key(match["word"])
            counterparts = self._counterparts[key, other]
            if len(counterparts) > 1:
                return None
            (new,) = counterparts
            if key != match["word"]:
                new = _cased(new, match["word"])
            parts += [text[end : match.start()], _article(match["article"], new), new]
            end = match.end()
        return "".join((*parts, text[end:]))

    def _key(self, found: str) -> str:
        return found if found in self._group_of else found.lower()


def _filled(template: str, kind: Kind, source: int) -> list[Pair]:
    slots = {match["slot"] for match in SLOT.finditer(template)}
    if not slots <= set(kind.slots):
        return []
    num_places = max(len(kind.slots[slot][kind.groups[0]]) for slot in slots)
    found = []
    for place in range(num_places):
        said = {group: _sentence(template, kind, group, place) for group in kind.groups}
        found += [
            _pair(kind, group, other, said, source)
            for group, other in combinations(kind.groups, 2)
            if said[group] != said[other]
        ]
    return found


def _sentence(template: str, kind: Kind, group: str, place: int) -> str:
    def word(match: re.Match[str]) -> str:
        of_group = kind.slots[match["slot"]][group]
        new = of_group[place % len(of_group)]
        return _article(match["article"], new) + new

    sentence = SLOT.sub(word, template)
    return sentence[0].upper() + sentence[1:]


def _pair(kind: Kind, group: str, other: str, said: dict[str, str], source: int) -> Pair:
    return Pair(
        language=kind.language,
        kind=kind.name,
        group=group,
        other_group=other,
        text=said[group],
        other_text=said[other],
        source=source,
    )


def _article(article: str | None, word: str) -> str:
    """Return the article, if there is one, in the form that goes with a word."""
    if not article:
        return ""
    return article[0] + ("n " if _SAID_WITH_AN.match(word) else " ")


def _cased(word: str, like: str) -> str:
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[0].upper() + word[1:]


def _any_of(phrases: Iterable[str]) -> str:
    """Return a pattern of any phrase, longest first; of none, one that never matches.

    Phrases in lower case match in any case. Those in Latin script match between characters that are
    no Latin letters, so that `he` is not found in `the`; Chinese ones match anywhere.
    """
    lower: list[str] = []
    exact: list[str] = []
    chinese: list[str] = []
    for phrase in sorted(phrases, key=lambda phrase: (-len(phrase), phrase)):
        if not re.match(f"[{_LATIN}]", phrase):
            chinese.append(re.escape(phrase))
        else:
            (lower if phrase == phrase.lower() else exact).append(re.escape(phrase))
    # In ASCII alone: "ſ" would match "s", and is its own lower case.
    latin = ([f"(?ai:{'|'.join(lower)})"] if lower else []) + exact
    parts = [f"(?<![{_LATIN}])(?:{'|'.join(latin)})(?![{_LATIN}])"] if latin else []
    return "|".join(parts + chinese) or "(?!)"
