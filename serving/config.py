"""What `sentirec serve` reads from `sentirec.toml`.

That is its own section, and those of the store, scores, privacy, event log and reranking. Other
sections belong to other commands and are not looked at.
"""

import ipaddress
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from features.event_log_section import EventLogSection
from features.privacy_section import PrivacySection
from recsys.rerank_section import RerankSection, RuleSection
from sentiment.score_section import ScoreSection
from serving.errors import ServeConfigError
from serving.experiments import ExperimentSection, VariantSection, check_apart

DEFAULT_FILE = Path("sentirec.toml")

ExposuresKept = Literal["none", "experiments", "all"]
"""Which answers are kept in the event log; `experiments` are also those in which an item was shown
by chance."""


class StoreSection(BaseModel):
    """`[store]`: where tables and bundles are."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    path: str = Field(default="shop", min_length=1)
    """A folder, relative to the current folder."""


class ServeSection(BaseModel):
    """`[serve]`: how the server listens and how much of it there is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    replicas: int = Field(default=1, ge=1, le=256)
    """Processes that answer."""
    sentiment_replicas: int = Field(default=1, ge=0, le=64)
    """Processes that answer `POST /v1/sentiment`; with none there is no such path."""
    sentiment_threads: int = Field(default=1, ge=1, le=64)
    """CPU threads with which each of them reads a text."""
    retriever: Literal["none", "cpu", "cuda"] = "none"
    """Device of a process beside the replicas that looks up the two-tower's items by exact search,
    many requests at once; with none, and where it fails, each replica has an index of its own."""
    poll_interval_s: float = Field(default=3.0, gt=0.0, le=3600.0, allow_inf_nan=False)
    """How often each replica looks for a newer bundle or side table."""
    deadline_ms: float = Field(default=100.0, gt=0.0, le=60_000.0, allow_inf_nan=False)
    """An answer that would take longer is made in a simpler way, and says so."""
    max_in_flight: int = Field(default=16, ge=1, le=10_000)
    """Requests that a replica has at once; more wait in front of it."""
    max_wait_ms: int = Field(default=50, ge=1, le=60_000)
    """A request that waited so long is refused with 503."""
    cors_origins: list[str] = []
    """Origins of the pages that may ask, such as https://shop.example; "*" for all."""
    keys_file: str | None = None
    """Of API keys; absent, `api_keys.json` in the store."""
    exposures: ExposuresKept = "experiments"
    """Which answers are kept in the event log: of experiments and explorations, all, or none."""
    experiments: list[ExperimentSection] = []

    @model_validator(mode="after")
    def _kept(self) -> "ServeSection":
        if self.experiments and self.exposures == "none":
            raise ValueError('experiments need exposures: leave out exposures = "none"')
        return self

    @field_validator("experiments")
    @classmethod
    def _apart(cls, experiments: list[ExperimentSection]) -> list[ExperimentSection]:
        check_apart(experiments)
        return experiments


class ServeFile(BaseModel):
    """The part of the file that serving reads."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    store: StoreSection = StoreSection()
    score: ScoreSection = ScoreSection()
    privacy: PrivacySection = PrivacySection()
    event_log: EventLogSection = EventLogSection()
    serve: ServeSection = ServeSection()
    rerank: RerankSection = RerankSection()


_SECTIONS = {
    "event_log": EventLogSection,
    "privacy": PrivacySection,
    "rerank": RerankSection,
    "score": ScoreSection,
}

_INNER = {
    "experiments": ExperimentSection,
    "variants": VariantSection,
    "rerank": RerankSection,
    "rules": RuleSection,
}


def load_serve_file(path: Path | None) -> ServeFile:
    """Read the configuration file.

    Args:
        path: The file; None for `sentirec.toml` in the current folder where there is one.

    Raises:
        ServeConfigError: If the file is missing, is no TOML, or has a wrong value or an unknown key
            in a section that is read, but for `[store]`.
    """
    if path is None:
        if not DEFAULT_FILE.exists():
            return ServeFile()
        path = DEFAULT_FILE
    try:
        return ServeFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ServeConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        raise ServeConfigError(f"{path}: {_problems(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServeConfigError(f"{path} is no TOML file: {error}") from error


def with_flags(section: ServeSection, **flags: object) -> ServeSection:
    """Return the section with the flags that were given (not None) in place of its values.

    Raises:
        ServeConfigError: If a flag is out of its range.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return ServeSection.model_validate(section.model_dump() | given)
    except ValidationError as error:
        raise ServeConfigError(_problems(error)) from error


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address; a name other than localhost is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _problems(error: ValidationError) -> str:
    found = []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            section = _SECTIONS.get(str(problem["loc"][0]), ServeSection)
            for part, inner in _INNER.items():
                section = inner if part in problem["loc"] else section
            known = ", ".join(sorted(section.model_fields))
            found.append(f"unknown key {name}; allowed there: {known}")
        else:
            # What stands in place of an address may hold a password.
            is_secret = problem["loc"][0] == "event_log"
            seen = "" if is_secret else f", not {problem['input']!r}"
            found.append(f"{name}: {problem['msg']}{seen}")
    return "; ".join(found)
