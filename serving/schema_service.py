"""What goes over the wire about the service itself."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from serving.schema_types import AnswerModel, RequestModel


class Health(AnswerModel):
    """Whether the process lives, or can answer."""

    status: Literal["ok", "ready"]


class ModelInfo(AnswerModel):
    """What is answering."""

    version: str
    created_at: str = Field(description="When the bundle was made, ISO 8601, UTC.")
    metrics: dict[str, dict[str, float]] = Field(
        description="Held-out metrics by candidate source, baseline and `ranker`."
    )
    side_tables: dict[str, int | None] = Field(description="Version of each side table in use.")
    experiments: dict[str, list[str]] = Field(
        description="Running experiments, and the variants of each that can be shown."
    )
    reload_error: str | None = Field(
        description="Why a newer bundle or table is not in use; null where nothing is wrong."
    )


class PromoteRequest(RequestModel):
    """Which bundle is to go live."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"version": "20260102T030405-1a2b3c4d"}]}
    )

    version: Annotated[str, Field(min_length=1, max_length=200)]


class Switched(AnswerModel):
    """Which bundle is live now."""

    request_id: str
    model_version: str = Field(description="What this process answers with from now on.")
    previous_version: str | None
