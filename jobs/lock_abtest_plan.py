"""What is kept beside a plan: which plans were seen when, and when the data were looked at."""

import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.errors import BadInputError
from jobs.whole_files import write_whole
from recsys.abtest.plan import Plan, parse_plan
from recsys.abtest.plan_gates import PlanRecord


class SeenPlan(BaseModel):
    """A plan that was recorded.

    Attributes:
        sha256: Of its content.
        first_seen: When it was recorded first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    first_seen: datetime


class PlanLock(BaseModel):
    """The file beside a plan.

    Attributes:
        plans: In the order in which they were recorded; more than one where the plan was changed.
        looks: Times that analyses were made as of, sorted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plans: list[SeenPlan] = Field(default=[])
    looks: list[datetime] = Field(default=[])

    def record(self, plan: Plan) -> PlanRecord:
        """Return what the file says of a plan."""
        seen = [entry.first_seen for entry in self.plans if entry.sha256 == plan.sha256()]
        return PlanRecord(
            is_kept=bool(self.plans),
            first_seen=min(seen, default=None),
            num_versions=len(self.plans),
        )


def read_plan(path: Path) -> Plan:
    """Read `abtest.toml`.

    Raises:
        BadInputError: There is no such file.
        PlanError: It says what cannot be.
    """
    try:
        return parse_plan(path.read_text("utf-8"), source=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"cannot read {path}: {error}") from error


def lock_path(plan_path: Path) -> Path:
    """Return the file beside a plan: `abtest.toml` has `abtest.lock.json`."""
    return plan_path.with_suffix(".lock.json")


def read_lock(plan_path: Path) -> PlanLock:
    """Read what was kept beside a plan; nothing where there is no file.

    Raises:
        BadInputError: The file is damaged.
    """
    path = lock_path(plan_path)
    if not path.exists():
        return PlanLock()
    try:
        return PlanLock.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise BadInputError(f"{path} is damaged: {error}; restore it, or move it away") from error


def record_plan(plan_path: Path, plan: Plan, *, now: datetime) -> PlanLock:
    """Record a plan, if it is new.

    Args:
        plan_path: Of the plan; the record lies beside it.
        plan: As it is.
        now: When.

    Raises:
        BadInputError: The record cannot be read or written.
    """
    lock = read_lock(plan_path)
    sha256 = plan.sha256()
    if any(entry.sha256 == sha256 for entry in lock.plans):
        return lock
    seen = SeenPlan(sha256=sha256, first_seen=now.astimezone(UTC))
    return _write(plan_path, PlanLock(plans=[*lock.plans, seen], looks=lock.looks))


def record_look(plan_path: Path, lock: PlanLock, as_of: datetime) -> PlanLock:
    """Record that the data were looked at; the same look twice is one.

    Raises:
        BadInputError: The record cannot be written.
    """
    if as_of in lock.looks:
        return lock
    looks = sorted({*lock.looks, as_of})
    return _write(plan_path, PlanLock(plans=lock.plans, looks=looks))


def _write(plan_path: Path, lock: PlanLock) -> PlanLock:
    content = json.dumps(lock.model_dump(mode="json"), indent=2) + "\n"
    write_whole(lock_path(plan_path), content)
    return lock
