"""How a review is put together: from what is to be told to a title, a text and its spans.

The words live in `english` and `chinese`. Levels of polarity run from 0 (very bad) over 2 (mixed)
to 4 (very good). Spans are offsets in characters (code points) of the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Polarity of each level."""


@dataclass(frozen=True, kw_only=True)
class AspectWords:
    """How people speak of one aspect. Sentences have no final stop."""

    subjects: tuple[str, ...]
    """Fit before an adjective."""
    nouns: tuple[str, ...]
    """Fit where the aspect itself is meant."""
    good: tuple[str, ...]
    bad: tuple[str, ...]
    best: tuple[str, ...]
    """Whole sentences, very good."""
    worst: tuple[str, ...]
    """Whole sentences, very bad."""
    fair: tuple[str, ...]
    """Whole sentences, mixed."""
    wishes: tuple[str, ...]
    """Whole sentences that ask for something else."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """All that is needed to write reviews in one language."""

    aspects: dict[str, AspectWords]
    frames: tuple[tuple[str, ...], ...]
    """Five levels of sentences about a subject or a noun."""
    overall: tuple[tuple[str, ...], ...]
    """Five levels of sentences about the whole."""
    titles: tuple[tuple[str, ...], ...]
    """Five levels of titles."""
    facts: tuple[tuple[str, ...], ...]
    """Groups of sentences without an opinion; one of a group is enough."""
    contrasts: tuple[str, ...]
    """Between two opinions that disagree."""
    joins: tuple[str, ...]
    """Between two opinions that agree."""
    stops: tuple[str, ...]
    """Ends of a sentence, calm first."""
    space: str
    """Between sentences."""
    singular: dict[str, str]
    """Words for a thing that is called `it`."""
    plural: dict[str, str]
    """Words for a thing that is called `they`."""


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What one review has to say."""

    opinions: tuple[tuple[str, int], ...]
    """Aspect and level, in order."""
    overall: int
    """Level of the whole."""
    says_overall: bool
    """True where a sentence of the text says it too, not only the title."""
    wish: str | None
    """Aspect that is wished to be otherwise."""
    num_facts: int
    is_plural: bool


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A written review."""

    title: str
    text: str
    opinions: tuple[tuple[int, int], ...]
    """Span of each opinion, as ordered in the telling."""
    wish: tuple[int, int] | None
    """Span of the wish."""


class Dice:
    """Draws from a fixed row of uniform numbers, so that one review never shifts another."""

    def __init__(self, uniforms: Sequence[float]) -> None:
        self._uniforms = uniforms
        self._next = 0

    def roll(self) -> float:
        """Return the next number in [0, 1); after the last one, begin anew."""
        value = self._uniforms[self._next % len(self._uniforms)]
        self._next += 1
        return value

    def pick(self, options: Sequence[str]) -> str:
        """Return one of the options."""
        return options[int(self.roll() * len(options))]


def compose(language: Language, telling: Telling, uniforms: Sequence[float]) -> Composed:
    """Write a review.

    Args:
        language: the words to use.
        telling: what to say.
        uniforms: numbers in [0, 1) that decide how; 64 are enough.
    """
    dice = Dice(uniforms)
    forms = language.plural if telling.is_plural else language.singular
    title = _fill(dice.pick(language.titles[telling.overall]), forms)
    overall = _fill(dice.pick(language.overall[telling.overall]), forms)
    clauses = _clauses(language, telling, forms, dice)
    facts = _different(dice, language.facts, telling.num_facts, forms)
    # Each sentence is a list of (words, mark); the mark says which opinion or wish they are.
    body = _sentences(language, telling, clauses, dice)
    if telling.says_overall:
        body.insert(0 if dice.roll() < 0.5 else len(body), [(overall, "overall")])
    if telling.wish is not None:
        wish = _fill(dice.pick(language.aspects[telling.wish].wishes), forms)
        body.append([(wish, "wish")])
    for fact in facts:
        body.insert(int(dice.roll() * 1.5 * len(body)) % (len(body) + 1), [(fact, "")])
    strong = {str(k) for k, (_, level) in enumerate(telling.opinions) if level in (0, 4)}
    if telling.overall in (0, 4):
        strong.add("overall")
    text, spans = _join(language, body, dice, strong)
    return Composed(
        title=title,
        text=text,
        opinions=tuple(spans[str(k)] for k in range(len(telling.opinions))),
        wish=spans.get("wish"),
    )


def _clauses(language: Language, telling: Telling, forms: dict[str, str], dice: Dice) -> list[str]:
    """Write one clause an opinion, no two of them from the same pattern."""
    used: set[str] = set()
    clauses = []
    for aspect, level in telling.opinions:
        words = language.aspects[aspect]
        own = {0: words.worst, 2: words.fair, 4: words.best}.get(level, ())
        pool = [p for p in language.frames[level] if p not in used] or [*language.frames[level]]
        pattern = dice.pick(own) if own and dice.roll() < 0.5 else dice.pick(pool)
        used.add(pattern)
        subject, noun = dice.pick(words.subjects), dice.pick(words.nouns)
        is_pronoun = subject == "{it}"
        verbs = forms if is_pronoun else language.singular
        subject, noun = _fill(subject, forms), _fill(noun, forms)
        clauses.append(
            pattern.format_map(
                forms
                | {
                    "s": subject,
                    "S": _capital(subject),
                    "n": noun,
                    "N": _capital(noun),
                    "v": verbs.get("is", ""),
                    "good": dice.pick(words.good),
                    "bad": dice.pick(words.bad),
                }
            )
        )
    return clauses


def _sentences(
    language: Language, telling: Telling, clauses: list[str], dice: Dice
) -> list[list[tuple[str, str]]]:
    """Group clauses into sentences: neighbours that disagree are often set against each other."""
    sentences: list[list[tuple[str, str]]] = []
    k = 0
    while k < len(clauses):
        roll = dice.roll()
        if k + 1 < len(clauses):
            disagree = (telling.opinions[k][1] - 2) * (telling.opinions[k + 1][1] - 2)
            joint = ""
            if disagree < 0 and roll < 0.75:
                joint = dice.pick(language.contrasts)
            elif disagree > 0 and roll < 0.25:
                joint = dice.pick(language.joins)
            if joint:
                pair = [(clauses[k], str(k)), (joint, ""), (_small(clauses[k + 1]), str(k + 1))]
                sentences.append(pair)
                k += 2
                continue
        sentences.append([(clauses[k], str(k))])
        k += 1
    return sentences


def _join(
    language: Language, body: list[list[tuple[str, str]]], dice: Dice, strong: set[str]
) -> tuple[str, dict[str, tuple[int, int]]]:
    """Join the sentences, and note where each marked piece begins and ends."""
    text = ""
    spans: dict[str, tuple[int, int]] = {}
    for sentence in body:
        if text:
            text += language.space
        for words, mark in sentence:
            if mark:
                spans[mark] = (len(text), len(text) + len(words))
            text += words
        is_lively = dice.roll() < 0.2 and sentence[-1][1] in strong
        text += language.stops[is_lively]
    return text, spans


def _different(
    dice: Dice, groups: tuple[tuple[str, ...], ...], count: int, forms: dict[str, str]
) -> list[str]:
    """Pick sentences from several groups."""
    first = int(dice.roll() * len(groups))
    return [_fill(dice.pick(groups[(first + k) % len(groups)]), forms) for k in range(count)]


def _fill(pattern: str, forms: dict[str, str]) -> str:
    return pattern.format_map(forms) if "{" in pattern else pattern


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _small(clause: str) -> str:
    """Begin with a small letter, unless the first word is I."""
    return clause if clause.startswith(("I ", "I'")) else clause[:1].lower() + clause[1:]
