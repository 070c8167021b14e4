"""Routes whose functions take the request alone, and give the response: nothing is left to do."""

import inspect
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import request_response


class PlainRoute(APIRoute):
    """A route that calls a plain function at once, without looking for what else it may want.

    FastAPI solves dependencies and opens stacks for them on each request. A function of more than
    the request is called as FastAPI does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if list(inspect.signature(self.endpoint).parameters) == ["request"]:
            self.app = request_response(self.endpoint)
