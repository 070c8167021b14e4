"""Lists of identity words: ours can be read, and what is wrong with another one is named."""

from pathlib import Path

import pytest

from sentiment.errors import IdentityWordsError, SentimentError
from sentiment.identity_words import IdentityWords

SMALL = """
[en.gender.subject]
women = ["she"]
men = ["he"]
[templates]
en = ["{subject} likes it"]
"""


def load(tmp_path: Path, content: str) -> IdentityWords:
    path = tmp_path / "words.toml"
    path.write_text(content, "utf-8")
    return IdentityWords.load(path)


def test_ours_has_every_kind_and_templates_in_both_languages() -> None:
    words = IdentityWords.load()
    kinds = {(kind.language, kind.name) for kind in words.kinds}
    names = ("age", "gender", "names", "nationality", "religion")
    assert kinds == {(language, name) for language in ("en", "zh") for name in names}
    assert set(words.templates) == {"en", "zh"}
    assert all(len(set(sentences)) == len(sentences) for sentences in words.templates.values())


def test_a_small_list_is_read(tmp_path: Path) -> None:
    (kind,) = load(tmp_path, SMALL).kinds
    assert (kind.language, kind.name, kind.groups) == ("en", "gender", ("women", "men"))
    assert kind.slots == {"subject": {"women": ("she",), "men": ("he",)}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = [", "cannot be read"),
        ("", "it has nothing"),
        ("[fr.gender.subject]\na = ['x']\nb = ['y']", "language of en, zh.*it has fr"),
        ("en = 3", r"\[en\] must be a table, not 3"),
        ("[en.gender]\nexcept = []", r"\[en.gender\] has no slot such as"),
        (
            "[en.gender.subject]\nwomen = ['she']",
            r"\[en.gender.subject\] needs at least two groups; it has women",
        ),
        (
            "[en.gender.subject]\nwomen = ['she', 'her']\nmen = ['he']",
            r"of one length.*women 2, men 1",
        ),
        (
            "[en.gender.a]\nx = ['b']\ny = ['c']\n[en.gender.d]\nx = ['e']\nz = ['f']",
            r"\[en.gender.d\] has the groups x, z, and the kind's first slot has x, y",
        ),
        ("[en.gender.a]\nx = ['b']\ny = ['b']", "'b' in the groups x and y"),
        ("[en.gender.a]\nx = []\ny = []", r"en.gender.a.x must be a list of words.*not \[\]"),
        ("[en.gender.a]\nx = ['b ']\ny = ['c']", "without white space around them"),
        (
            "[en.gender]\nexcept = 'b'\n[en.gender.a]\nx = ['b']\ny = ['c']",
            "en.gender.except must be a list",
        ),
        (SMALL.replace("likes it", "likes {thing}"), "no kind has all of the slots subject, thing"),
        (SMALL.replace("{subject}", "He"), r"a template needs a slot such as \{person\}"),
        (SMALL.replace("likes it", "likes {it"), "no other braces"),
        (SMALL.replace("en = [", "zh = ["), "templates.zh has no kind"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(IdentityWordsError, match=f"(?s){message}"):
        load(tmp_path, content)


def test_a_missing_file_is_an_error_of_the_package(tmp_path: Path) -> None:
    with pytest.raises(SentimentError, match=r"nowhere\.toml cannot be read"):
        IdentityWords.load(tmp_path / "nowhere.toml")
