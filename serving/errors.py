"""Errors of the serving package.

ServingError
├── ServeConfigError     a flag or the configuration file cannot be used
├── NothingToServeError  the store has no live bundle, or lacks a table that answers need
├── PortTakenError       another process listens where the server should
└── StartError           the server did not come up
"""


class ServingError(Exception):
    """Base of every error this package raises on purpose."""


class ServeConfigError(ServingError):
    """A flag or the configuration file cannot be used."""


class NothingToServeError(ServingError):
    """The store has no live bundle, or lacks a table that answers need."""


class PortTakenError(ServingError):
    """Another process listens where the server should."""


class StartError(ServingError):
    """The server did not come up."""
