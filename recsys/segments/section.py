"""The section `[segments]` of the configuration file."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Every command reads the configuration: what needs Polars waits.
if TYPE_CHECKING:
    from recsys.segments.admission import FrequencyCap
    from recsys.segments.holdout import Holdout

LEAST_SIZE = 50
"""Default of the smallest list that is exported."""
LEAST_CHANGE = 11
"""Default of the smallest change between two lists: the US Centers for Medicare and Medicaid
Services publish no cell of 1 to 10 people. Below the size of a list, since lists change daily."""


class CapSection(BaseModel):
    """`[segments.caps.CHANNEL]`: how often a person may be written to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_contacts: int = Field(ge=1)
    days: float = Field(gt=0, le=36_525)


class HoldoutSection(BaseModel):
    """`[segments.holdout]`: who is left alone, for measuring."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=0.0, ge=0, lt=1)
    salt: str = Field(default="sentirec", min_length=1)


class SegmentsSection(BaseModel):
    """`[segments]`: where definitions are, and whom they may reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    definitions: list[str] = []
    """Files and folders of TOML and YAML; absent, the folder `segments` where there is one."""
    priority: list[str] = []
    """Segments, the most important first: the first of them that a user is in has the user."""
    caps: dict[str, CapSection] = {}
    """By channel; `*` is of channels that have none of their own."""
    holdout: HoldoutSection = HoldoutSection()
    min_size: int = Field(default=LEAST_SIZE, ge=1)
    min_change: int = Field(default=LEAST_CHANGE, ge=1)

    @model_validator(mode="after")
    def _has_no_segment_twice(self) -> "SegmentsSection":
        if len(set(self.priority)) < len(self.priority):
            raise ValueError("priority names a segment twice")
        return self

    def cap(self, channel: str) -> "FrequencyCap | None":
        """Return the cap of a channel, whatever the case of its name; None where there is none."""
        from recsys.segments.admission import FrequencyCap

        named = {name.strip().lower(): cap for name, cap in self.caps.items()}
        section = named.get(channel.strip().lower(), named.get("*"))
        if section is None:
            return None
        return FrequencyCap(max_contacts=section.max_contacts, days=section.days)

    def held_out(self, segment: str) -> "Holdout":
        """Return the holdout of a segment: each draws apart, by the salt and its name."""
        from recsys.segments.holdout import Holdout

        return Holdout(share=self.holdout.share, salt=f"{self.holdout.salt}:{segment}")
