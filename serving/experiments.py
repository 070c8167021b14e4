"""Experiments: who is shown which variant.

A user is in the variant into whose share the hash of salt and user falls: the same on every replica
and for as long as the experiment is not changed, and independent between experiments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys.lots import share_of
from recsys.rerank_section import RerankSection

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class VariantSection(BaseModel):
    """`[[serve.experiments.variants]]`: a bundle, a way to rearrange lists, both, or neither."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name
    weight: float = Field(gt=0, allow_inf_nan=False)
    """Share of users, relative to the other variants'."""
    bundle: _Name | None = None
    """Version of a bundle in the store; absent, the live one."""
    rerank: RerankSection | None = None
    """In place of `[rerank]`."""


class ExperimentSection(BaseModel):
    """`[[serve.experiments]]`: variants that are shown side by side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name
    salt: str = ""
    """What the hash of a user begins with; absent, the name."""
    surfaces: list[_Name] | None = None
    """Where it runs; absent, everywhere."""
    variants: list[VariantSection] = Field(min_length=2, max_length=100)

    @model_validator(mode="after")
    def _named_apart(self) -> "ExperimentSection":
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError(f"two variants of {self.name} have one name")
        return self


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Which variant somebody is shown.

    Attributes:
        experiment: Its name.
        variant: Its name.
        propensity: Chance with which the variant was chosen, in (0, 1].
    """

    experiment: str
    variant: str
    propensity: float


def check_apart(experiments: Sequence[ExperimentSection]) -> None:
    """Make sure that no two experiments run in one place.

    Raises:
        ValueError: Naming the two.
    """
    for place, one in enumerate(experiments):
        for other in experiments[place + 1 :]:
            if one.name == other.name:
                raise ValueError(f"two experiments are named {one.name}")
            both = one.surfaces is None or other.surfaces is None
            if both or set(one.surfaces or ()) & set(other.surfaces or ()):
                raise ValueError(f"{one.name} and {other.name} would run on the same surface")


def assign(
    experiments: Sequence[ExperimentSection], surface: str | None, unit: str | None
) -> Assignment | None:
    """Return the variant that somebody is shown.

    Args:
        experiments: That run.
        surface: Where it is shown.
        unit: The user, or the session of a visitor; None takes part in nothing.
    """
    if unit is None:
        return None
    for experiment in experiments:
        if experiment.surfaces is None or surface in experiment.surfaces:
            return _assigned(experiment, unit)
    return None


def _assigned(experiment: ExperimentSection, unit: str) -> Assignment:
    total = sum(variant.weight for variant in experiment.variants)
    at = share_of(experiment.salt or experiment.name, unit) * total
    chosen = experiment.variants[-1]
    for variant in experiment.variants:
        if at < variant.weight:
            chosen = variant
            break
        at -= variant.weight
    return Assignment(
        experiment=experiment.name, variant=chosen.name, propensity=chosen.weight / total
    )
