"""The Ray Serve deployment: each replica is the HTTP application over a state of its own.

Replicas alone import what they are made of: the command that starts them would wait for it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from ray import serve
from ray.serve import Application

from serving.replica_settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

APP_NAME = "sentirec"
# More requests wait in HAProxy rather than in one replica's event loop.
MAX_ONGOING_REQUESTS = 100


@serve.ingress()
class Recommendations:
    """One replica.

    Args:
        settings: What it is told.
    """

    def __init__(self, settings: Settings) -> None:
        from serving.replica import load_service

        self._service = load_service(settings)

    def __serve_build_asgi_app__(self) -> "FastAPI":
        """Give Ray the application, after the state is loaded."""
        from serving.app import build_app

        return build_app(self._service)

    def __del__(self) -> None:
        """Finish what was submitted to the event log."""
        service = getattr(self, "_service", None)
        if service is not None and service.log is not None:
            service.log.close()


def application(settings: Settings) -> Application:
    """Describe the deployment."""
    # A replica names users; it has no business opening what is sealed.
    naming = None if settings.pseudonyms is None else settings.pseudonyms.naming_only()
    deployment = serve.deployment(
        name="recommendations",
        num_replicas=settings.num_replicas,
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        graceful_shutdown_timeout_s=10.0,
        graceful_shutdown_wait_loop_s=0.2,
        # A killed replica is noticed, and begins anew, at the next check.
        health_check_period_s=1.0,
    )(Recommendations)
    return deployment.bind(replace(settings, pseudonyms=naming))
