"""A tokenizer of characters, for Chinese, whose vocabulary is counted on the texts it will read."""

from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

PAD, UNKNOWN, FIRST, LAST, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN, FIRST, LAST, MASK)


def character_tokenizer(texts: Iterable[str], *, min_count: int = 3) -> Tokenizer:
    """Return a tokenizer with one token a character, lower-cased and full-width forms folded.

    Args:
        texts: What characters are counted on.
        min_count: Rarer characters are `[UNK]`.

    Returns:
        A tokenizer with `[CLS]` before and `[SEP]` after each text; ids 0..4 are `SPECIAL`, then
        characters from common to rare. White space is no token; offsets are those of the text.

    >>> tokenizer = character_tokenizer(["很好 很好 很好", "Ａ很"], min_count=1)
    >>> tokenizer.encode("好 a！").tokens
    ['[CLS]', '好', 'a', '[UNK]', '[SEP]']
    """
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update("".join(normalizer.normalize_str(text).split()))
    # Equally common ones by code point, so that the same texts give the same ids.
    kept = sorted((c for c, n in counts.items() if n >= min_count), key=lambda c: (-counts[c], c))
    vocabulary = {token: place for place, token in enumerate((*SPECIAL, *kept))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), "isolated")]
    )
    tokenizer.post_processor = TemplateProcessing(  # type: ignore[assignment]
        single=f"{FIRST} $A {LAST}",
        special_tokens=[(FIRST, SPECIAL.index(FIRST)), (LAST, SPECIAL.index(LAST))],
    )
    return tokenizer
