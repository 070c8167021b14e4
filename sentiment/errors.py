"""Errors of the sentiment package.

SentimentError
├── EncoderNotFoundError   the encoder's files are not where they were asked for
└── WeightsError           weights are missing, altered, or of another shape
"""


class SentimentError(Exception):
    """Base of every error this package raises on purpose."""


class EncoderNotFoundError(SentimentError):
    """The encoder could not be loaded by the name or path given."""


class WeightsError(SentimentError):
    """Weights are missing, altered, or do not fit the encoder."""
