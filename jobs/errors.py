"""Errors of the jobs package, and the exit code of each.

JobsError                 2
├── BadInputError         2  what was given cannot be used
│   ├── ConfigError       2  the configuration file is wrong
│   └── MissingPartError  2  the command needs a package that is not installed
├── DeliveryError         1  another system did not take what was sent
├── TamperedLogError      1  the audit log is not what was written
├── NotErasedError        1  something of an erased person was found
├── GateRefusedError      3  the new thing is worse than what it was to replace
└── NotDecidableError     4  the data cannot answer the question
"""


class JobsError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 2


class BadInputError(JobsError):
    """What was given cannot be used."""


class ConfigError(BadInputError):
    """The configuration file is wrong."""


class MissingPartError(BadInputError):
    """The command needs a package that is not installed."""


class GateRefusedError(JobsError):
    """The new thing is worse than what it was to replace."""

    exit_code = 3


class NotDecidableError(JobsError):
    """The data cannot answer the question."""

    exit_code = 4


class NotErasedError(JobsError):
    """Something of an erased person was found."""

    exit_code = 1


class DeliveryError(JobsError):
    """Another system did not take what was sent; sending it again loses and doubles nothing."""

    exit_code = 1


class TamperedLogError(JobsError):
    """The audit log is not what was written."""

    exit_code = 1
