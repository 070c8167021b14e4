"""Errors of the features package.

FeaturesError
├── StoreError             the store, or a table in it, is missing or damaged
├── EventLogError          the event log cannot be opened, read or written
├── KeysError              the file of API keys cannot be used, or a key is none, or not enough
├── PseudonymKeyError      the key of pseudonyms is missing, or is none
└── InputError             a source file cannot be read as what it was said to be
    ├── UnknownFormatError the file is of no known format
    ├── MissingColumnError a required column is absent
    └── DamagedFileError   the file ends early, or its bytes are not what its name says
"""


class FeaturesError(Exception):
    """Base of every error this package raises on purpose."""


class StoreError(FeaturesError):
    """The store, or a table in it, is missing or damaged."""


class EventLogError(FeaturesError):
    """The event log cannot be opened, read or written; nothing of the call was acknowledged."""


class KeysError(FeaturesError):
    """The file of API keys cannot be read or written, or a key is none, or does not allow it."""


class InputError(FeaturesError):
    """A source file cannot be read as what it was said to be."""


class PseudonymKeyError(FeaturesError):
    """The key of pseudonyms is missing, or is none."""


class UnknownFormatError(InputError):
    """The file is of no known format."""


class MissingColumnError(InputError):
    """A required column is absent."""


class DamagedFileError(InputError):
    """The file ends early, or its bytes are not what its name says."""
