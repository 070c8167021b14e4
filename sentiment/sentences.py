"""Where the sentences of a text begin and end, in English and Chinese."""

import re

# Chinese marks anywhere; full stops before white space, at the end, or between words run together.
_END = re.compile(
    r"[。！？；!?…]+[\"'”’）)\]]*|\.+[\"'”’)\]]*(?=\s|$)|(?<=[a-z])\.(?=[A-Z])"
    r"|\n+|(?<=[\u4e00-\u9fff])\s+"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|etc|vs|mr|mrs|ms|dr|st|no|approx|inc|ft|oz|lbs?|[a-z])\.$",
    re.IGNORECASE,
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of every sentence, in order, without the white space around it.

    Sentences end at `.`, `!`, `?`, `…` and their Chinese forms, at `；`, at line breaks, and where
    white space follows a Chinese character. A full stop inside a number or after an abbreviation or
    a single letter ends nothing.

    >>> text = "Works e.g. with 3.5 mm jacks. Not bad! 音质很好。线太短"
    >>> [text[a:b] for a, b in sentence_spans(text)]
    ['Works e.g. with 3.5 mm jacks.', 'Not bad!', '音质很好。', '线太短']
    """
    spans, start = [], 0
    for match in _END.finditer(text):
        if match[0].startswith(".") and _ABBREVIATION.search(text[start : match.start() + 1]):
            continue
        spans.append((start, match.end()))
        start = match.end()
    spans.append((start, len(text)))
    return [
        (a + len(part) - len(part.lstrip()), b - len(part) + len(part.rstrip()))
        for a, b in spans
        if (part := text[a:b]).strip()
    ]
