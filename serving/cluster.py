"""Applications for `serve deploy serving/config.yaml`: the server on a Ray cluster of one's own.

`sentirec serve` starts the same deployments on one machine. Here Ray, its proxies and their
settings are the cluster's; store and keys must lie where every node reads them.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict
from ray.serve import Application

from serving.config import load_serve_file
from serving.deployment import application
from serving.errors import ServeConfigError
from serving.page_key import page_key
from serving.replica_settings import settings_of
from serving.retriever_deployment import retriever_application
from serving.sentiment_deployment import sentiment_application
from serving.server import ServeOptions, check_keys, check_store


class ClusterArguments(BaseModel):
    """`args` of an application in the file that is deployed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: str
    """Path of `sentirec.toml` on every node."""


def recommendations(arguments: ClusterArguments) -> Application:
    """Describe the application that answers everything but `/v1/sentiment`.

    Raises:
        ServingError: If there is nothing to serve, or no API key.
    """
    options = _options(arguments)
    check_store(options.store, options.pseudonyms)
    check_keys(options.keys_file)
    return application(settings_of(options, page_key(options.store)))


def sentiment(arguments: ClusterArguments) -> Application:
    """Describe the application that answers `/v1/sentiment`.

    Raises:
        ServingError: If the file cannot be used, or there is no API key.
    """
    options = _options(arguments)
    check_keys(options.keys_file)
    return sentiment_application(
        options.score.scorer_config(),
        num_replicas=max(1, options.section.sentiment_replicas),
        threads=options.section.sentiment_threads,
        keys_file=options.keys_file.resolve(),
    )


def retriever(arguments: ClusterArguments) -> Application:
    """Describe the application that looks up the two-tower's items for the first.

    Raises:
        ServingError: If the file cannot be used, or wants no retriever.
    """
    options = _options(arguments)
    if options.section.retriever == "none":
        raise ServeConfigError(
            f'{arguments.config} wants no retriever: say [serve] retriever = "cuda", or do not '
            "deploy this application"
        )
    return retriever_application(
        str(options.store.resolve()),
        device=options.section.retriever,
        poll_interval_s=options.section.poll_interval_s,
    )


def _options(arguments: ClusterArguments) -> ServeOptions:
    file = load_serve_file(Path(arguments.config))
    return ServeOptions(
        store=Path(file.store.path),
        section=file.serve,
        score=file.score,
        pseudonyms=file.privacy.pseudonyms(),
        rerank=file.rerank,
        event_log=file.event_log.resolved(),
    )
