"""The plan of an experiment, written before its data is seen: `abtest.toml`."""

import hashlib
import json
import tomllib
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from recsys.abtest.plan_sections import (
    BotSection,
    GateSection,
    MetricSection,
    MinimumEffectSection,
    PlanSection,
    SegmentSection,
    SequentialSection,
    VariantSection,
)
from recsys.errors import PlanError


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""A time; one without a zone is UTC."""


AnyModel = TypeVar("AnyModel", bound=BaseModel)


class Plan(PlanSection):
    """The whole file. What is asked, of whom, how it is answered, and what stops it."""

    name: str = Field(min_length=1, max_length=256)
    """Of the experiment, as exposures have it."""
    mode: Literal["ab", "aa"] = "ab"
    """`aa`: both variants are the same, and no difference is to be found."""
    unit: Literal["user"] = "user"
    start: Moment
    end: Moment
    """Users whose first exposure is at or after it do not take part."""
    control: VariantSection = VariantSection(name="control")
    treatment: VariantSection = VariantSection(name="treatment")
    metrics: list[MetricSection] = Field(min_length=1)
    minimum_effect: MinimumEffectSection
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    sides: Literal["two", "one"] = "two"
    """`one`: only whether the treatment is better."""
    analysis: Literal["welch", "cuped", "post-stratified"] = "welch"
    """CUPED adjusts by the same metric in the pre-period, post-stratification by the first
    segment."""
    multiple_testing: Literal["none", "holm", "benjamini-hochberg"] = "holm"
    """Across secondary metrics; the primary one alone decides, guardrails must all hold."""
    sequential: SequentialSection = SequentialSection()
    window_days: float = Field(default=7, gt=0, allow_inf_nan=False)
    """Outcomes count from a user's first exposure, for so long."""
    in_progress: Literal["keep", "exclude"] = "keep"
    """Users whose window is not over yet."""
    pre_period_days: float = Field(default=14, ge=0, allow_inf_nan=False)
    """Before the first exposure: covariates and balance."""
    winsor_quantile: float | None = Field(default=None, gt=0.5, lt=1)
    """Sums above this quantile of those that are not zero, of both arms together, count as it."""
    bayesian: bool = False
    """Also read the primary metric as a posterior."""
    segments: list[SegmentSection] = Field(default=[])
    bots: BotSection = BotSection()
    gates: GateSection = GateSection()

    @model_validator(mode="after")
    def _is_consistent(self) -> "Plan":
        wrong = _contradictions(self)
        if wrong:
            raise ValueError(wrong)
        return self

    @property
    def primary(self) -> MetricSection:
        """The metric that decides."""
        return next(metric for metric in self.metrics if metric.role == "primary")

    @property
    def duration_days(self) -> float:
        """Days from start to end."""
        return (self.end - self.start).total_seconds() / 86_400

    def sha256(self) -> str:
        """Return the hash of what the plan says, whatever the order and the comments of its file.

        Returns:
            64 hex digits: SHA-256 of the sorted JSON with every default written out.
        """
        content = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(content.encode()).hexdigest()


def parse_plan(text: str, *, source: str = "abtest.toml") -> Plan:
    """Read a plan.

    Args:
        text: TOML.
        source: Name of the file, for messages.

    Raises:
        PlanError: It is no TOML, or a key is unknown, missing or wrong; each is named with what
            was seen and what is allowed.
    """
    return parse_toml(text, Plan, source=source)


def parse_toml(text: str, model: type[AnyModel], *, source: str) -> AnyModel:
    """Read a TOML text into a closed model; see `parse_plan` for what it says of mistakes."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{source} is no TOML file: {error}") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_explain(dict(problem), model) for problem in error.errors())
        raise PlanError(f"{source}: {problems}") from error


def _explain(problem: dict[str, Any], model: type[BaseModel]) -> str:
    place: tuple[int | str, ...] = problem["loc"]
    key = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(_fields_at(model, place[:-1]))
        return f"unknown key {key} = {problem['input']!r}; allowed there: {allowed}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key} = {problem['input']!r}: {message}"


def _fields_at(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    for part in place:
        if isinstance(part, int):
            continue
        annotation: Any = model.model_fields[part].annotation
        inner = next(iter(get_args(annotation)), annotation)
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    return sorted(model.model_fields)


def _contradictions(plan: Plan) -> str | None:
    """Say what in a plan goes against something else in it."""
    if plan.start >= plan.end:
        return f"end {plan.end.isoformat()} must be after start {plan.start.isoformat()}"
    if plan.control.name == plan.treatment.name:
        return f"control and treatment have the same name {plan.control.name!r}"
    total = plan.control.share + plan.treatment.share
    if abs(total - 1) > 1e-9:
        return f"control.share + treatment.share must be 1, not {total:g}"
    names = [metric.name for metric in plan.metrics]
    if len(set(names)) < len(names):
        return f"metrics must have different names, not {names}"
    num_primary = sum(metric.role == "primary" for metric in plan.metrics)
    if num_primary != 1:
        return f"exactly one metric has role = 'primary', not {num_primary}"
    if plan.minimum_effect.relative is not None and plan.primary.tested_scale == "absolute":
        return (
            f"minimum_effect must be absolute, since the primary metric {plan.primary.name!r} is "
            "tested on the absolute scale"
        )
    if plan.minimum_effect.absolute is not None and plan.primary.tested_scale == "relative":
        return "minimum_effect must be relative, or the primary metric must say scale = 'absolute'"
    segments = [segment.name for segment in plan.segments]
    if len(set(segments)) < len(segments):
        return f"segments must have different names, not {segments}"
    if plan.analysis == "post-stratified" and not plan.segments:
        return "analysis = 'post-stratified' needs a segment, whose groups are the strata"
    reads_past = plan.analysis == "cuped" or any(s.by == "new-users" for s in plan.segments)
    if reads_past and plan.pre_period_days == 0:
        return "pre_period_days must be above 0 for CUPED and for new users, not 0"
    return None
