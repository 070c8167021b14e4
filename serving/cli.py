"""The command `sentirec serve`."""

import json as json_module
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from serving.config import is_loopback, load_serve_file, with_flags
from serving.errors import ServeConfigError


def serve(
    store: Annotated[
        Path | None, typer.Option("--store", help="Folder of the tables and bundles.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", help="Configuration file; default: sentirec.toml where there is one."
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.  [default: 8000]")] = None,
    replicas: Annotated[
        int | None, typer.Option(help="Processes that answer.  [default: 1]")
    ] = None,
    sentiment_replicas: Annotated[
        int | None,
        typer.Option(help="Processes that answer POST /v1/sentiment.  [default: 1]"),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Answer everybody on this machine, without keys; loopback only."
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Say that it is ready as one line of JSON.")
    ] = False,
) -> None:
    """Answer recommendation requests over HTTP until interrupted.

    Needs a published bundle, and API keys (see `sentirec keys`). A newer bundle or side table is
    taken over while it runs.
    """
    file = load_serve_file(config)
    section = with_flags(
        file.serve,
        host=host,
        port=port,
        replicas=replicas,
        sentiment_replicas=sentiment_replicas,
    )
    if insecure and not is_loopback(section.host):
        raise ServeConfigError(
            f"--insecure with --host {section.host}, which others can reach: everybody could read "
            "what users bought. Listen on 127.0.0.1, or leave --insecure out and use keys"
        )
    # Ray and the models are only imported once the flags are known to be right.
    from serving.server import ServeOptions, Server

    options = ServeOptions(
        store=Path(store or file.store.path),
        section=section,
        score=file.score,
        pseudonyms=file.privacy.pseudonyms(),
        rerank=file.rerank,
        event_log=file.event_log.resolved(),
        needs_keys=not insecure,
    )
    _interrupt_on_signals()
    try:
        with Server(options) as server:
            ready = {
                "url": options.url,
                "model_version": server.model_version,
                "replicas": section.replicas,
            }
            line = json_module.dumps(ready) if json else f"ready on {options.url}"
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            while True:
                signal.pause()
    except _InterruptedRun:
        return


class _InterruptedRun(BaseException):
    """The user or the system wants the server to end."""


def _interrupt_on_signals() -> None:
    """Let the first SIGINT or SIGTERM interrupt whatever goes on; further ones change nothing."""
    ending = (signal.SIGINT, signal.SIGTERM)

    def interrupt(number: int, frame: object) -> None:
        for each in ending:
            signal.signal(each, signal.SIG_IGN)
        raise _InterruptedRun

    for each in ending:
        signal.signal(each, interrupt)
