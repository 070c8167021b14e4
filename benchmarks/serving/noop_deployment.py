"""A replica that does nothing."""

from typing import Any

from fastapi import FastAPI
from ray import serve


@serve.ingress()
class Nothing:
    """Takes what `serving.deployment.Recommendations` takes, and answers an empty object."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Give Ray the application."""
        app = FastAPI()

        @app.post("/v1/recommendations")
        async def recommendations() -> dict[str, str]:
            return {}

        @app.get("/readyz")
        async def readyz() -> dict[str, str]:
            return {"status": "ready"}

        return app
