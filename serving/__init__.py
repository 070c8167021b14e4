"""The recommend endpoint, and a client of it.

What is exported here is loaded when it is asked for: whoever serves needs no client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.client import Client
    from serving.errors import AnswerError, ClientError, RefusedError, UnavailableError

__all__ = ["AnswerError", "Client", "ClientError", "RefusedError", "UnavailableError"]


def __getattr__(name: str) -> Any:
    """Load a name of `__all__`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module("serving.client" if name == "Client" else "serving.errors")
    return getattr(module, name)
