"""A store that something is published in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from fastapi import FastAPI

from features.store import Store
from jobs.sample_shop import Shop
from recsys.bundle import write_bundle
from recsys.fitting import Fitted
from serving.app import build_app
from serving.service import Service
from serving.state import ServingState

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def app_of(state: ServingState, **given: Any) -> FastAPI:
    """Return the application over a state; who may ask and the rest of the service are given."""
    return build_app(Service(state=state, token_key=b"k" * 32, **given))


@dataclass(frozen=True, kw_only=True)
class Published:
    """A store with a promoted bundle and its side tables, and what they were made from."""

    root: Path
    shop: Shop
    fitted: Fitted
    tables: dict[str, pl.DataFrame]
    signals: pl.DataFrame

    @property
    def store(self) -> Store:
        return Store(self.root)

    @property
    def buyer(self) -> str:
        """The user with the most purchases, and of several with as many the first."""
        return self.tables["purchase_history"]["user_id"].mode().sort()[0]

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    def add_bundle(self, version: str) -> Path:
        """Write the same models once more under another version, without promoting it."""
        assert self.fitted.recommender is not None
        folder = self.bundles / version
        write_bundle(
            folder,
            self.fitted.recommender,
            created_at=AS_OF.isoformat(),
            metrics=self.fitted.metrics,
            data={"num_test_users": self.fitted.num_test_users},
            code={"version": "test"},
        )
        return folder
