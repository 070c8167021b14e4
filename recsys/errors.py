"""Errors of the recsys package.

RecsysError
├── NotEnoughDataError    too few interactions to fit or to evaluate anything
├── BundleError           a bundle is missing, damaged, or of another schema version
├── LogError              a log of what was shown cannot be evaluated from
├── PolicyError           a policy to be evaluated is not one, or does not fit the log
├── GateRefusedError      a bundle is worse than what it should replace
├── AlertError            an alert cannot change as it is asked to
├── SegmentError          a segment cannot be read, or asks for what is not there
└── ExperimentError       an experiment cannot be read
    ├── PlanError             a plan asks for what cannot be
    └── ExperimentLogError    a log lacks what its plan asks for
"""


class RecsysError(Exception):
    """Base of every error this package raises on purpose."""


class NotEnoughDataError(RecsysError):
    """Too few interactions to fit or to evaluate anything."""


class BundleError(RecsysError):
    """A bundle is missing, damaged, or of another schema version."""


class LogError(RecsysError):
    """A log of what was shown cannot be evaluated from."""


class PolicyError(RecsysError):
    """A policy to be evaluated is not one, or does not fit the log."""


class GateRefusedError(RecsysError):
    """A bundle is worse than what it should replace."""


class SegmentError(RecsysError):
    """A segment cannot be read, or asks for what is not there."""


class ExperimentError(RecsysError):
    """An experiment cannot be read."""


class PlanError(ExperimentError):
    """A plan of an experiment or of a campaign asks for what cannot be."""


class ExperimentLogError(ExperimentError):
    """A log of exposures or outcomes lacks what its plan asks for."""


class AlertError(RecsysError):
    """An alert cannot change as it is asked to."""
