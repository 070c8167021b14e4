"""Words that tell who is spoken of, by kind and group: a list that a shop can edit.

A kind, such as `gender`, has groups, such as `women` and `men`. Its slots, such as `relation`, list
words of each group; those at the same place of a slot are counterparts.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentiment.errors import IdentityWordsError

IDENTITY_WORDS_FILE = Path(__file__).parent / "identity_words.toml"
LANGUAGES = ("en", "zh")
# What stands for a word in a template, with the article that may have to change.
SLOT = re.compile(r"(?P<article>\b[Aa]n? )?\{(?P<slot>\w+)\}")
_PHRASES = ("except", "leave_out")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What people are told apart by in one language, such as gender.

    Attributes:
        language: `en` or `zh`.
        name: Of the kind.
        groups: Names of the groups, in the order of the file.
        slots: For each slot and group its words; all lists of a slot are of one length.
        excepted: Phrases in which a word does not mean its group.
        leave_out: Phrases whose counterpart cannot be told.
    """

    language: str
    name: str
    groups: tuple[str, ...]
    slots: Mapping[str, Mapping[str, tuple[str, ...]]]
    excepted: tuple[str, ...]
    leave_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class IdentityWords:
    """The kinds of every language, and sentences with slots for their words.

    Attributes:
        kinds: Of all languages.
        templates: By language; each can be filled by at least one kind.
    """

    kinds: tuple[Kind, ...]
    templates: Mapping[str, tuple[str, ...]]

    @classmethod
    def load(cls, path: Path = IDENTITY_WORDS_FILE) -> "IdentityWords":
        """Read a list of identity words.

        Raises:
            IdentityWordsError: If the file cannot be read or is of another form; the message names
                the place.
        """
        try:
            content = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise IdentityWordsError(
                f"the list of identity words {path} cannot be read: {error}"
            ) from error
        unknown = set(content) - {*LANGUAGES, "templates"}
        if unknown or not set(content) & set(LANGUAGES):
            raise IdentityWordsError(
                f"{path} needs [LANGUAGE.KIND.SLOT] with a language of {', '.join(LANGUAGES)}, may "
                "have [templates], and nothing else; it has "
                f"{', '.join(sorted(content)) or 'nothing'}"
            )
        kinds = tuple(
            _kind(path, language, name, table)
            for language in LANGUAGES
            for name, table in _table(path, language, content.get(language, {})).items()
        )
        templates = _table(path, "templates", content.get("templates", {}))
        return cls(
            kinds=kinds,
            templates={
                language: _templates(path, language, sentences, kinds)
                for language, sentences in templates.items()
            },
        )


def _kind(path: Path, language: str, name: str, table: Any) -> Kind:
    place = f"{language}.{name}"
    content = _table(path, place, table)
    slots = {
        slot: {
            group: _strings(path, f"{place}.{slot}.{group}", words)
            for group, words in _table(path, f"{place}.{slot}", by_group).items()
        }
        for slot, by_group in content.items()
        if slot not in _PHRASES
    }
    if not slots:
        raise IdentityWordsError(f"{path}: [{place}] has no slot such as [{place}.person]")
    first, groups = next((slot, tuple(by_group)) for slot, by_group in slots.items())
    if len(groups) < 2:
        raise IdentityWordsError(
            f"{path}: [{place}.{first}] needs at least two groups; it has "
            f"{', '.join(groups) or 'none'}"
        )
    for slot, by_group in slots.items():
        _check_slot(path, f"{place}.{slot}", by_group, groups)
    _check_groups(path, place, slots)
    excepted, leave_out = (
        _strings(path, f"{place}.{key}", content.get(key, []), least=0) for key in _PHRASES
    )
    return Kind(
        language=language,
        name=name,
        groups=groups,
        slots=slots,
        excepted=excepted,
        leave_out=leave_out,
    )


def _check_slot(
    path: Path, place: str, by_group: Mapping[str, tuple[str, ...]], groups: tuple[str, ...]
) -> None:
    if set(by_group) != set(groups):
        raise IdentityWordsError(
            f"{path}: [{place}] has the groups {', '.join(by_group) or 'none'}, and the kind's "
            f"first slot has {', '.join(groups)}: all slots of a kind need the same ones"
        )
    lengths = {group: len(words) for group, words in by_group.items()}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{group} {num}" for group, num in lengths.items())
        raise IdentityWordsError(
            f"{path}: the lists of [{place}] must be of one length, as words at the same place are "
            f"swapped; they have {counted}"
        )


def _check_groups(
    path: Path, place: str, slots: Mapping[str, Mapping[str, tuple[str, ...]]]
) -> None:
    group_of: dict[str, str] = {}
    for by_group in slots.values():
        for group, words in by_group.items():
            for word in words:
                if group_of.setdefault(word, group) != group:
                    raise IdentityWordsError(
                        f"{path}: [{place}] has {word!r} in the groups {group_of[word]} and "
                        f"{group}: a word may tell of one group only"
                    )


def _templates(
    path: Path, language: str, sentences: Any, kinds: tuple[Kind, ...]
) -> tuple[str, ...]:
    place = f"templates.{language}"
    of_language = [kind for kind in kinds if kind.language == language]
    if not of_language:
        raise IdentityWordsError(f"{path}: {place} has no kind [{language}.KIND.SLOT] to fill it")
    found = _strings(path, place, sentences)
    for sentence in found:
        slots = {match["slot"] for match in SLOT.finditer(sentence)}
        rest = SLOT.sub("", sentence)
        if not slots or "{" in rest or "}" in rest:
            raise IdentityWordsError(
                f"{path}: {place}: a template needs a slot such as {{person}}, and no other "
                f"braces: {sentence!r}"
            )
        if not any(slots <= set(kind.slots) for kind in of_language):
            known = "; ".join(f"{kind.name}: {', '.join(kind.slots)}" for kind in of_language)
            raise IdentityWordsError(
                f"{path}: {place}: no kind has all of the slots {', '.join(sorted(slots))} of "
                f"{sentence!r}; there are {known}"
            )
    return found


def _table(path: Path, place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise IdentityWordsError(f"{path}: [{place}] must be a table, not {value!r}")
    return value


def _strings(path: Path, place: str, values: Any, *, least: int = 1) -> tuple[str, ...]:
    if (
        not isinstance(values, list)
        or len(values) < least
        or not all(isinstance(value, str) and value.strip() == value != "" for value in values)
    ):
        raise IdentityWordsError(
            f"{path}: {place} must be a list of words without white space around them, not "
            f"{values!r}"
        )
    return tuple(values)
