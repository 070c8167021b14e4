"""Cleaning of review texts before a model reads them. Pure; never changes what is stored."""

import hashlib
import html
import re
import unicodedata

import emoji

# A tag starts with a letter right after `<`, so "I <3 it" and "5 < 6" stay.
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,300}>|<!--.*?-->", re.DOTALL)
_URL = re.compile(r"(?:https?://|www\.)[^\s<>，。！？、\u3000]+", re.IGNORECASE)
_AMAZON_WIDGET = re.compile(r"\[\[[A-Z0-9]+:[^\]]*\]\]")
_REPEATED = re.compile(r"(\D)\1{3,}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\ufeff]")
# Emoji names are put between control characters, which no text has any more by then.
_EMOJI_NAME = re.compile(r"\x01([^\x02]*)\x02")
_SPACE = re.compile(r"\s+")


def clean_text(text: str) -> str:
    """Return the text as a reader would see it, on one line.

    Entities are resolved, tags, links and control characters removed, emoji spelled out as words,
    runs of one character cut to three ("sooooo" -> "sooo"), white space folded.

    >>> clean_text("Sooooooo good!<br/>See http://x.y/z &amp; \U0001f600")
    'Sooo good! See & grinning face'
    """
    text = html.unescape(text)
    text = _CONTROL.sub("", unicodedata.normalize("NFC", text))
    text = _TAG.sub(" ", text)
    text = _AMAZON_WIDGET.sub(" ", text)
    text = _URL.sub(" ", text)
    if not text.isascii():
        text = emoji.demojize(text, delimiters=("\x01", "\x02"))
        text = _EMOJI_NAME.sub(lambda m: f" {m[1].replace('_', ' ')} ", text)
    text = _REPEATED.sub(r"\1\1\1", text)
    return _SPACE.sub(" ", text).strip()


def review_text(title: str | None, text: str | None) -> str:
    """Join a review's title and body into the one text that is scored.

    A title that the body already begins with is not said twice.

    >>> review_text("Great strap", "Comfortable and strong.")
    'Great strap. Comfortable and strong.'
    """
    head, body = clean_text(title or ""), clean_text(text or "")
    if not head or body.startswith(head):
        return body
    if not body:
        return head
    return f"{head} {body}" if head[-1] in ".!?。！？…" else f"{head}. {body}"


def text_key(text: str) -> str:
    """Return a stable 128-bit hex key of a cleaned text; equal texts are scored once."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
