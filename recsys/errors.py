"""Errors of the recsys package.

RecsysError
├── NotEnoughDataError    too few interactions to fit or to evaluate anything
├── BundleError           a bundle is missing, damaged, or of another schema version
└── GateRefusedError      a bundle is worse than what it should replace
"""


class RecsysError(Exception):
    """Base of every error this package raises on purpose."""


class NotEnoughDataError(RecsysError):
    """Too few interactions to fit or to evaluate anything."""


class BundleError(RecsysError):
    """A bundle is missing, damaged, or of another schema version."""


class GateRefusedError(RecsysError):
    """A bundle is worse than what it should replace."""
