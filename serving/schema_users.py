"""What goes over the wire about one user."""

from typing import Any, Literal

from pydantic import Field

from serving.schema_types import AnswerModel


class KnownItem(AnswerModel):
    """An item in a user's past."""

    item_id: str
    title: str | None
    event_time: str = Field(description="RFC 3339, UTC.")
    polarity: float | None = Field(
        description="How the user felt about it by their own review, from -1 to 1; null where "
        "nothing is known, and for what was browsed."
    )


class UserProfile(AnswerModel):
    """What is known of a user, fresh events among it."""

    request_id: str
    model_version: str
    user_id: str
    bought: list[KnownItem] = Field(description="The latest first, at most 100.")
    browsed: list[KnownItem] = Field(description="The latest first, at most 100.")
    dismissed_item_ids: list[str]
    as_of: str | None = Field(
        description="When the profile was made, RFC 3339; null before the first one."
    )
    live_as_of: str | None = Field(
        description="Where not null, what is declared of events and reviews (counts, windows, "
        "money, means, trends) is as of this moment; RFC 3339. Null where no state of the last "
        "build is kept."
    )
    profile: dict[str, Any] = Field(
        description="Declared features, see `sentirec profiles --describe`; as of `as_of`, or of "
        "`live_as_of` what that tells of."
    )


class Erasure(AnswerModel):
    """What became of the wish to be forgotten."""

    request_id: str
    model_version: str | None
    user_id: str
    state: Literal["accepted"] = Field(
        description="The user is forgotten by every answer from now on; tables and their older "
        "versions follow with the next `sentirec ingest --from-event-log`."
    )
    erased_entries: int = Field(description="Of the event log.")
