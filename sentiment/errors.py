"""Errors of the sentiment package.

SentimentError
├── EncoderNotFoundError   the encoder's files are not where they were asked for
├── WeightsError           weights are missing, altered, or of another shape
├── NotANumberError        models computed what is no number
├── AspectListError        a list of aspects cannot be read
└── IdentityWordsError     a list of identity words cannot be read
"""


class SentimentError(Exception):
    """Base of every error this package raises on purpose."""


class EncoderNotFoundError(SentimentError):
    """The encoder could not be loaded by the name or path given."""


class WeightsError(SentimentError):
    """Weights are missing, altered, or do not fit the encoder."""


class NotANumberError(SentimentError):
    """What models computed of a text is not a number."""


class AspectListError(SentimentError):
    """A list of aspects cannot be read, or is of another form."""


class IdentityWordsError(SentimentError):
    """A list of identity words cannot be read, or is of another form."""
