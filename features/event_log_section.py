"""The section `[event_log]` of the configuration file, for whoever reads it."""

import os

from pydantic import BaseModel, ConfigDict, Field

ADDRESS_VARIABLE = "SENTIREC_EVENT_LOG"


class EventLogSection(BaseModel):
    """`[event_log]`: where what happens is kept until it is in the tables."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str | None = Field(default=None, min_length=1, repr=False)
    """Such as `redis://host:6379/0`; absent, a file in the store. The environment's
    SENTIREC_EVENT_LOG comes first, as addresses may hold passwords."""

    def resolved(self) -> str | None:
        """Return the address that counts, None for the file in the store."""
        return os.environ.get(ADDRESS_VARIABLE) or self.address
