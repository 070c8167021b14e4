import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.cleaning import clean_text, review_text, text_key

# What a person types: words, spaces, emoji, Han, a tag, a link, an entity.
# fmt: off
PIECES = st.sampled_from([
    "good", "Bad", " ", "  ", "\n", "很好", "😀", "🇧🇦", "<br/>", "&amp;", "http://x.y/z", "!", "。",
    "oooooo", "snake_case", "\x00", "\u200b", "é", "5 < 6", "7",
])
# fmt: on


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("", ""),
        (" \t\r\n\u3000 ", ""),
        ("two  spaces\nand\tlines", "two spaces and lines"),
        ("one<br/>two<BR>three", "one two three"),
        ('<a class="x" href="y">link</a> text', "link text"),
        ("kept <!-- not\nkept --> kept", "kept kept"),
        ("fish &amp; chips &#39;n&#39; &quot;peas&quot;", "fish & chips 'n' \"peas\""),
        ("I <3 it", "I <3 it"),
        ("I &lt;3 it", "I <3 it"),
        ("5 < 6", "5 < 6"),
        ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
        ("see https://x.y/z?a=1#b now", "see now"),
        ("see WWW.Example.com now", "see now"),
        ("看 http://x.y/z。很好", "看 。很好"),
        ("[[VIDEOID:mo2KF1UEW1]] great", "great"),
        ("sooooo goooood", "sooo goood"),
        ("good", "good"),
        ("aaa", "aaa"),
        ("好好好好好", "好好好"),
        ("wow!!!!!!", "wow!!!"),
        ("costs 1000000", "costs 1000000"),
        ("nul\x00byte", "nulbyte"),
        ("bell\x07 del\x7f c1\x9f", "bell del c1"),
        ("zero\u200bwidth \ufeffmark", "zerowidth mark"),
        ("cafe\u0301", "caf\u00e9"),
    ],
)
def test_cleans_what_a_reader_does_not_see(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("nice😀", "nice grinning face"),
        ("😀😀", "grinning face grinning face"),
        ("❤️", "red heart"),
        ("👍🏽 ok", "thumbs up medium skin tone ok"),
        ("🥇", "1st place medal"),
        ("🇧🇦", "Bosnia & Herzegovina"),
        ("🅰️", "A button (blood type)"),
        ("😀 my snake_case name", "grinning face my snake_case name"),
    ],
)
def test_spells_out_emoji_and_nothing_else(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@given(st.lists(PIECES, max_size=12).map("".join))
def test_cleaning_what_is_clean_changes_nothing(raw: str) -> None:
    clean = clean_text(raw)
    assert clean_text(clean) == clean


@given(st.text(max_size=80))
def test_any_text_ends_on_one_line_without_control_characters(raw: str) -> None:
    clean = clean_text(raw)
    assert clean == " ".join(clean.split())
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in clean)


@pytest.mark.parametrize(
    ("title", "text", "joined"),
    [
        (None, None, ""),
        ("", "", ""),
        ("Great", None, "Great"),
        (None, "Works.", "Works."),
        ("Great", "Works.", "Great. Works."),
        ("Great!", "Works.", "Great! Works."),
        ("很好。", "音质不错", "很好。 音质不错"),
        ("Works", "Works as it should", "Works as it should"),
        ("<b>Great</b>", "<p>Works.</p>", "Great. Works."),
        ("<br/>", "Works.", "Works."),
        ("\x00", "\u200b", ""),
    ],
)
def test_title_and_body_become_one_text(title: str | None, text: str | None, joined: str) -> None:
    assert review_text(title, text) == joined


def test_key_is_128_bits_and_the_same_in_every_process() -> None:
    assert text_key("") == "cae66941d9efbd404e4d88758ea67670"
    assert text_key("好") != text_key("好 ")
    assert len(text_key("好")) == 32
