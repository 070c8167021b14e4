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


_BREAK = re.compile(
    r"[,，、:：;；()（）]+\s*|\s+-+\s+|--+|\b(?:but|however|although|though|except|yet)\b"
    r"|但是?|不过|可是|然而|只是(?!不)|就是(?=[^，。]{2})",
    re.IGNORECASE,
)
_LEAST = 3


def clause_spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of every clause, in order: the parts of sentences that judge one thing.

    Clauses end where sentences do, at commas, colons and brackets, and before a word of contrast
    ("but", "although", "但是"). What has fewer than three letters or characters joins the clause
    before it.

    >>> text = "Great sound, but it broke in a week. 屏幕不错但是电池差"
    >>> [text[a:b] for a, b in clause_spans(text)]
    ['Great sound', 'but it broke in a week.', '屏幕不错', '但是电池差']
    """
    spans: list[tuple[int, int]] = []
    for start, end in sentence_spans(text):
        first = len(spans)
        at = start
        for match in _BREAK.finditer(text, start, end):
            # A mark belongs to neither side; a word begins the clause after it.
            is_word = match[0][0].isalpha()
            _add_clause(spans, first, text, at, match.start())
            at = match.start() if is_word else match.end()
        _add_clause(spans, first, text, at, end)
    return spans


def _add_clause(spans: list[tuple[int, int]], first: int, text: str, start: int, end: int) -> None:
    part = text[start:end]
    start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
    if start >= end:
        return
    if sum(map(str.isalnum, text[start:end])) >= _LEAST:
        spans.append((start, end))
    elif len(spans) > first:
        spans[-1] = (spans[-1][0], end)
