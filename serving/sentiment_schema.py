"""What goes over the wire at `POST /v1/sentiment`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT_CHARACTERS = 20_000

Source = Literal["review", "question", "support", "survey", "social"]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SentimentRequest(BaseModel):
    """One text of any kind and language."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "examples": [
                {"text": "Great sound, but I wish the cable were longer.", "explain": True}
            ]
        },
    )

    text: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)] = Field(
        description="As it was written; markup, links and emoji are understood."
    )
    source: Source = Field("review", description="What kind of text it is; said back.")
    explain: bool = Field(False, description="Whether to say which words moved the polarity.")
    embedding: bool = Field(False, description="Whether to give the text's vector.")


class AspectFound(_Answer):
    """Something the text judges."""

    aspect: str = Field(description="A name of the list of aspects, or the term itself.")
    polarity: float = Field(description="From -1 to 1.")
    confidence: float = Field(description="From 0 to 1.")
    start: int = Field(description="First character in `text`.")
    end: int = Field(description="The character after the last.")


class NeedFound(_Answer):
    """A wish that a shop or maker could act on."""

    text: str
    start: int
    end: int
    kind: str


class WordMoved(_Answer):
    """A word and how far it moved the polarity."""

    start: int
    end: int
    attribution: float = Field(description="Positive words lift the polarity.")


class SentimentResponse(_Answer):
    """Every signal of a text; spans are characters of `text`."""

    request_id: str
    model_version: str
    source: Source
    text: str = Field(description="The text as it was read: cleaned.")
    language: str = Field(description="ISO 639-1, or `und`; others than en and zh read as English.")
    p_negative: float
    p_neutral: float
    p_positive: float
    polarity: float = Field(description="p_positive - p_negative.")
    intensity: float = Field(description="How far from three stars, from 0 to 1.")
    stars_expected: float = Field(description="From 1 to 5.")
    mixed: bool = Field(description="Strong opinions oppose each other.")
    emotions: dict[str, float | None] | None = Field(
        description="Felt from 0.5 on; null where the language's model does not know it."
    )
    aspects: list[AspectFound]
    needs: list[NeedFound]
    truncated: bool
    embedding: list[float] | None
    words: list[WordMoved] | None = Field(description="Null unless `explain`.")
