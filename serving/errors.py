"""Errors of the serving package.

ServingError
├── ServeConfigError     a flag or the configuration file cannot be used
├── NothingToServeError  the store has no live bundle, or lacks a table that answers need
├── PortTakenError       another process listens where the server should
├── StartError           the server did not come up
└── ClientError          a request of the client got no answer that can be used
    ├── RefusedError         the server refused it: 4xx
    ├── UnavailableError     the server was not reached in time, or failed: 5xx
    └── AnswerError          what came back is no answer of this interface
"""

from collections.abc import Mapping
from typing import Any


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


class ClientError(ServingError):
    """A request of the client got no answer that can be used.

    Args:
        message: What went wrong.
        request_id: Under which the server's log knows the request.
        status: HTTP status; None where no answer came.
        problem: Problem details (RFC 9457) as the server sent them: `type`, `title`, `detail` and,
            with 422, `errors` of `field` and `message`. Empty where it sent none.
        retry_after_s: When the server wants to be asked again; None where it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        request_id: str,
        status: int | None = None,
        problem: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.status = status
        self.problem = dict(problem or {})
        self.retry_after_s = retry_after_s


class RefusedError(ClientError):
    """The server refused the request: sent again as it is, it will be refused again."""


class UnavailableError(ClientError):
    """The server was not reached in time, or failed: sent again later, it may be answered."""


class AnswerError(ClientError):
    """What came back is no answer of this interface: something else listens there."""
