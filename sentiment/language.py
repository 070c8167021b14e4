"""Which language a text is in, by script first and function words second."""

import re

DEFAULT_LANGUAGE = "en"
UNDETERMINED = "und"

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_ARABIC = re.compile(r"[\u0600-\u06ff]")
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f']+")
_ENGLISH = frozenset(
    ["the", "a", "an", "and", "or", "but", "is", "are", "was", "were", "be", "been", "i", "you", "he", "she", "it", "we", "they", "my", "your", "his", "her", "its", "our", "their", "this", "that", "these", "those", "of", "to", "in", "on", "at", "for", "with", "from", "by", "as", "not", "no", "so", "if", "very", "just", "all", "has", "have", "had", "do", "does", "did", "can", "will", "would", "could", "should", "what", "when", "how", "good", "great", "bad", "love", "works", "work", "works", "nice", "well", "one", "me"]
)


def detect_language(text: str) -> str:
    """Return `en`, `zh`, `ja`, `ko`, `ru`, `ar`, or `und` for a cleaned text.

    Chinese is told by Han characters without kana making up at least a fifth of the letters (Latin
    words count as one letter each, as brand names are common in Chinese reviews). Latin text counts as
    English when at least a tenth of its words are English function words, or when it is too short
    (under four words) to tell.

    >>> detect_language("音质很好，但是 USB 线太短"), detect_language("Not bad at all")
    ('zh', 'en')
    """
    han, kana = len(_HAN.findall(text)), len(_KANA.findall(text))
    hangul, latin = len(_HANGUL.findall(text)), _LATIN_WORD.findall(text)
    letters = han + kana + hangul + len(latin)
    if kana and kana * 5 >= han:
        return "ja"
    if hangul * 3 > letters:
        return "ko"
    if han * 5 >= letters and han:
        return "zh"
    if len(_CYRILLIC.findall(text)) > 2 * len(latin):
        return "ru"
    if len(_ARABIC.findall(text)) > 2 * len(latin):
        return "ar"
    if len(latin) < 4:
        return DEFAULT_LANGUAGE if latin else UNDETERMINED
    known = sum(word.lower() in _ENGLISH for word in latin)
    return DEFAULT_LANGUAGE if known * 10 >= len(latin) else UNDETERMINED
