"""The configuration file `sentirec.toml`: one pydantic model a section.

A new section is a model here and a field of `Config`; unknown keys are errors everywhere.
"""

import tomllib
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.event_log_section import EventLogSection
from features.privacy_section import PrivacySection
from jobs.alerts_section import AlertsSection
from jobs.delivery.section import AuditSection, DestinationName, DestinationSection
from jobs.errors import ConfigError
from recsys.rerank_section import RerankSection
from recsys.segments.section import SegmentsSection
from sentiment.score_section import ScoreSection

DEFAULT_FILE = Path("sentirec.toml")


class Section(BaseModel):
    """Base of every section: frozen, and closed to keys that nobody reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSection(Section):
    """`[store]`: where tables, models and bundles are."""

    path: str = Field(default="shop", min_length=1)
    """A folder (relative ones from the current folder), or an s3:// or gs:// address."""


class IngestSection(Section):
    """`[ingest]`: how source files are read."""

    format: str | None = None
    """The format of all files; where it is absent it is told from each file."""


class TrainSection(Section):
    """`[train]`: how models are fitted."""

    num_workers: int = Field(default=1, ge=1)
    use_gpu: bool | None = None
    """One GPU a worker; absent, as `[score] device` says."""
    storage_path: str | None = None
    """Where workers leave checkpoints: a killed training is taken up again from there."""
    epochs: int | None = Field(default=None, ge=1)
    dim: int | None = Field(default=None, ge=4, multiple_of=4)
    """Of the two-tower; absent, the defaults of `recsys.two_tower_config`."""
    num_candidates: int = Field(default=200, ge=10)
    attention: bool = False
    """Pool histories by learned attention; see `recsys.two_tower_config.TwoTowerConfig`."""
    index: str = "Flat"
    """FAISS factory string."""
    tune_index: bool = False
    """Let the index search no more than the recall of 0.95 takes."""
    sentiment_strength: float = Field(default=0.5, ge=0, le=1)
    satisfaction_counts: bool = False
    """Never rank an item lower because its buyers are happier with it, or the user was with what is
    like it; see `recsys.ranker_config.SATISFACTION_COUNTS`."""
    seed: int = 0


class PublishSection(Section):
    """`[publish]`: the gate."""

    tolerance: float = Field(default=0.05, ge=0, lt=1)
    """How much lower NDCG@10 may be than the live bundle's or the best source's, as a share."""


class ServeSection(BaseModel):
    """`[serve]`: read and checked by the serving package, which this one does not know."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Config(Section):
    """The whole file; every section may be left out."""

    store: StoreSection = StoreSection()
    ingest: IngestSection = IngestSection()
    score: ScoreSection = ScoreSection()
    train: TrainSection = TrainSection()
    publish: PublishSection = PublishSection()
    privacy: PrivacySection = PrivacySection()
    event_log: EventLogSection = EventLogSection()
    rerank: RerankSection = RerankSection()
    alerts: AlertsSection = AlertsSection()
    segments: SegmentsSection = SegmentsSection()
    destinations: dict[DestinationName, DestinationSection] = {}
    audit: AuditSection = AuditSection()
    serve: ServeSection = ServeSection()


def load_config(path: Path | None) -> Config:
    """Read a configuration file.

    Args:
        path: The file; None for `sentirec.toml` in the current folder where there is one.

    Returns:
        The configuration, with defaults for what the file does not say.

    Raises:
        ConfigError: The file is missing, is no TOML, or has an unknown key or a wrong value; the
            message names the file, the key and the keys that are allowed there.
    """
    if path is None:
        if not DEFAULT_FILE.exists():
            return Config()
        path = DEFAULT_FILE
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML file: {error}") from error
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_explain(dict(problem)) for problem in error.errors())
        raise ConfigError(f"{path}: {problems}") from error


def _explain(problem: dict[str, object]) -> str:
    place = problem["loc"]
    assert isinstance(place, tuple)
    key = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}; allowed there: {', '.join(_allowed(place[:-1]))}"
    # What stands in place of an address may hold a password.
    seen = "" if place[0] == "event_log" else f", not {problem['input']!r}"
    return f"{key}: {problem['msg']}{seen}"


def _allowed(place: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for part in place:
        field = model.model_fields.get(str(part))
        inner = model if isinstance(part, int) else None
        if field is not None:
            # Of a list of sections, the section.
            inner = next(iter(get_args(field.annotation)), field.annotation)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return sorted(model.model_fields)
