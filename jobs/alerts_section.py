"""The section `[alerts]` of the configuration file: what is looked for, and who is told."""

import ipaddress
import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from recsys.alerts.config import AlertConfig

SECRET_VARIABLE = "SENTIREC_ALERTS_SECRET"
PASSWORD_VARIABLE = "SENTIREC_SMTP_PASSWORD"
_Address = Annotated[str, Field(pattern=r"^[!-?A-~]+@[!-?A-~]+$")]
_Names = Annotated[list[str], Field(max_length=100)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookSection(_Closed):
    """`[alerts.webhook]`: signed by the secret in SENTIREC_ALERTS_SECRET."""

    url: str = Field(min_length=1)
    hosts: _Names
    """Names that may be written to."""
    networks: _Names = []
    """Networks that are not public and allowed nevertheless."""

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            ipaddress.ip_network(network)
        return networks

    @property
    def secret(self) -> str | None:
        """Of the environment."""
        return os.environ.get(SECRET_VARIABLE)


class MailSection(_Closed):
    """`[alerts.mail]`: through an SMTP server, password in SENTIREC_SMTP_PASSWORD."""

    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    sender: _Address
    to: list[_Address] = Field(min_length=1, max_length=100)
    user: str | None = None
    starttls: bool = True
    """Off only for a server on this machine."""

    @model_validator(mode="after")
    def _is_safe(self) -> "MailSection":
        if not self.starttls and self.host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("mail goes without TLS to this machine only: leave starttls on")
        return self

    @property
    def password(self) -> str | None:
        """Of the environment."""
        return os.environ.get(PASSWORD_VARIABLE)


class AlertsSection(_Closed):
    """`[alerts]`."""

    false_discovery_rate: float = Field(
        default=AlertConfig.false_discovery_rate, gt=0, lt=1, allow_inf_nan=False
    )
    """Share of alerts that may be false."""
    demotion: float = Field(default=0.5, ge=0, le=1)
    """Share of relevance that lists take from an item as long as it has a bad batch or drifts."""
    recovery_reviews: int = Field(default=AlertConfig.recovery_reviews, ge=1)
    recovery_looks: int = Field(default=AlertConfig.recovery_looks, ge=1)
    reopen_days: int = Field(default=AlertConfig.reopen_days, ge=1)
    stale_days: int = Field(default=AlertConfig.stale_days, ge=1)
    file: str | None = None
    """A file of JSON lines to which changes are added."""
    quotes_in_messages: bool = True
    """Whether messages carry quotes (never who wrote them): what left cannot be erased here."""
    webhook: WebhookSection | None = None
    mail: MailSection | None = None

    def alert_config(self) -> AlertConfig:
        """Return how alerts are looked for."""
        return AlertConfig(
            false_discovery_rate=self.false_discovery_rate,
            recovery_reviews=self.recovery_reviews,
            recovery_looks=self.recovery_looks,
            reopen_days=self.reopen_days,
            stale_days=self.stale_days,
        )
