"""Which language a text is in, by script first and function words second."""

import re

from sentiment.sentences import sentence_spans

DEFAULT_LANGUAGE = "en"
UNDETERMINED = "und"

# Fewer Latin words are too few to tell a language.
_LEAST_WORDS = 4
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_ARABIC = re.compile(r"[\u0600-\u06ff]")
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f']+")
# fmt: off
_ENGLISH = frozenset((
    "a", "all", "and", "are", "as", "at", "bad", "be", "been", "but", "by", "can", "could",
    "did", "do", "does", "for", "from", "good", "great", "had", "has", "have", "he", "her",
    "his", "how", "i", "if", "in", "is", "it", "its", "just", "love", "me", "my", "nice", "no",
    "not", "of", "on", "one", "or", "our", "she", "should", "so", "that", "the", "their",
    "these", "they", "this", "those", "to", "very", "was", "we", "well", "were", "what",
    "when", "will", "with", "work", "works", "would", "you", "your",
))
# fmt: on


def language_runs(text: str, language: str) -> list[tuple[int, int, bool]]:
    """Cut a cleaned text where Chinese sentences meet those of another language.

    A sentence of few words in Latin script, or of none, goes with what stands before it: brand
    names and "OK!" are common in Chinese reviews.

    Args:
        text: The whole text.
        language: What `detect_language` says of it.

    Returns:
        Start, end and whether it is Chinese of each run of sentences, in order.

    >>> language_runs("Great sound and easy to use. 音质很好。OK!", "en")
    [(0, 28, False), (29, 37, True)]
    """
    is_chinese = language == "zh"
    if language == "ja" or not _HAN.search(text) or not _LATIN_WORD.search(text):
        return [(0, len(text), is_chinese)] if text else []
    runs: list[tuple[int, int, bool]] = []
    for start, end in sentence_spans(text):
        sentence = text[start:end]
        if _HAN.search(sentence):
            goes = detect_language(sentence) == "zh"
        elif len(_LATIN_WORD.findall(sentence)) < _LEAST_WORDS:
            goes = runs[-1][2] if runs else is_chinese
        else:
            goes = False
        if runs and runs[-1][2] == goes:
            runs[-1] = (runs[-1][0], end, goes)
        else:
            runs.append((start, end, goes))
    return runs


def detect_language(text: str) -> str:
    """Return `en`, `zh`, `ja`, `ko`, `ru`, `ar`, or `und` for a cleaned text.

    Chinese is told by Han characters without kana making up at least a fifth of the letters; Latin
    words count as one letter each, as brand names are common in Chinese reviews. Latin text counts
    as English when at least a tenth of its words are English function words, or when it is too
    short (under four words) to tell.

    >>> detect_language("音质很好，但是 USB 线太短"), detect_language("Not bad at all")
    ('zh', 'en')
    """
    latin = _LATIN_WORD.findall(text)
    others = (_HAN, _KANA, _HANGUL, _CYRILLIC, _ARABIC)
    han, kana, hangul, cyrillic, arabic = (
        0 if text.isascii() else len(script.findall(text)) for script in others
    )
    letters = han + kana + hangul + cyrillic + arabic + len(latin)
    if kana and kana * 5 >= han and (kana + han) * 5 >= letters:
        return "ja"
    if hangul * 3 > letters:
        return "ko"
    if han * 5 >= letters and han:
        return "zh"
    if cyrillic > 2 * len(latin):
        return "ru"
    if arabic > 2 * len(latin):
        return "ar"
    if len(latin) < _LEAST_WORDS:
        return DEFAULT_LANGUAGE if latin else UNDETERMINED
    known = sum(word.lower() in _ENGLISH for word in latin)
    return DEFAULT_LANGUAGE if known * 10 >= len(latin) else UNDETERMINED
