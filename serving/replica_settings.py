"""What every replica is told. The command that starts them need not know what they are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from features.pseudonyms import Pseudonyms
from recsys.bundle_hashes import NOTHING_KNOWN, HashedFiles
from recsys.rerank_section import RERANK_DEFAULTS, RerankSection
from serving.config import ExposuresKept
from serving.experiments import ExperimentSection

if TYPE_CHECKING:
    from serving.server import ServeOptions


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every replica is told.

    Attributes:
        store: Address of the store.
        num_replicas: Processes that answer, this one among them.
        poll_interval_s: How often to look for a newer bundle or side table.
        token_key: Signs the tokens of pages.
        keys_file: Of those who may ask; None where nobody needs a key.
        event_log: Address of the event log; None for one in the store.
        has_retriever: Whether a retriever beside the replicas can be asked.
        has_sentiment: Whether the sentiment endpoint scores reviews that come in.
        pseudonyms: Under which the store knows users; None for plain ids.
        rerank: How lists are rearranged.
        experiments: That run.
        exposures: Which answers are kept in the event log.
        deadline_s: How long an answer may take; None for any time.
        cors_origins: Pages of these origins may ask.
        hashed: What this machine found of the live bundle's files just now.
    """

    store: str
    num_replicas: int = 1
    poll_interval_s: float = 3.0
    token_key: bytes = field(repr=False)
    keys_file: Path | None = None
    event_log: str | None = field(default=None, repr=False)
    has_retriever: bool = False
    has_sentiment: bool = False
    pseudonyms: Pseudonyms | None = None
    rerank: RerankSection = RERANK_DEFAULTS
    experiments: Sequence[ExperimentSection] = ()
    exposures: ExposuresKept = "experiments"
    deadline_s: float | None = None
    cors_origins: Sequence[str] = ()
    hashed: HashedFiles = field(default_factory=dict, repr=False)


def settings_of(
    options: "ServeOptions", token_key: bytes, hashed: HashedFiles = NOTHING_KNOWN
) -> Settings:
    """Return what the replicas of a server are told."""
    section = options.section
    return Settings(
        store=str(options.store.resolve()),
        num_replicas=section.replicas,
        poll_interval_s=section.poll_interval_s,
        token_key=token_key,
        keys_file=options.keys_file.resolve() if options.needs_keys else None,
        event_log=options.event_log,
        has_retriever=section.retriever != "none",
        has_sentiment=bool(section.sentiment_replicas),
        pseudonyms=options.pseudonyms,
        rerank=options.rerank,
        experiments=section.experiments,
        exposures=section.exposures,
        deadline_s=section.deadline_ms / 1000,
        cors_origins=section.cors_origins,
        hashed=dict(hashed),
    )
