"""Destinations for the contract: each with a reader that tells what it holds."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fsspec
import polars as pl
import psycopg
from web_receiver import WebReceiver

from jobs.csv_cells import unescape_formulas
from jobs.delivery.delivery import Destination
from jobs.delivery.files import FileDestination, FileFormat
from jobs.delivery.postgres import PostgresDestination
from jobs.delivery.rows import ProfileRows
from jobs.delivery.webhook import WebhookDestination
from jobs.signed_webhook import AllowList, Retries

SEGMENT = "at-risk"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass(frozen=True)
class Place:
    """A destination, and what a reader there finds: rows by user, with what is told of them."""

    destination: Destination
    held: Callable[[], dict[str, tuple[object, ...]]]


def file_place(folder: str, format: FileFormat, columns: tuple[str, ...] = ()) -> Place:
    """Files: the reader applies all deliveries that have a manifest, in their order."""
    rows = ProfileRows(columns=columns)

    def read(files: fsspec.AbstractFileSystem, name: str) -> pl.DataFrame:
        with files.open(name, "rb") as file:
            if format == "parquet":
                return pl.read_parquet(file.read())
            frame = pl.read_csv(file.read(), schema_overrides={"user_id": pl.String})
            return frame.with_columns(unescape_formulas("user_id"))

    def held() -> dict[str, tuple[object, ...]]:
        files, root = fsspec.core.url_to_fs(folder)
        found: dict[str, tuple[object, ...]] = {}
        for manifest in sorted(files.glob(f"{root}/{SEGMENT}/*-manifest.json")):
            with files.open(manifest, "rb") as file:
                told = json.loads(file.read())
            frames = {
                part["name"]: read(files, f"{root}/{SEGMENT}/{part['name']}")
                for part in told["files"]
            }
            for part in told["files"]:
                assert len(frames[part["name"]]) == part["rows"]
            if told["operation"] == "replace":
                found = {}
            for name, frame in frames.items():
                if "-removed." in name:
                    for user in frame["user_id"]:
                        found.pop(user, None)
            for name, frame in frames.items():
                if "-removed." not in name:
                    found |= {row[0]: row[1:] for row in frame.iter_rows()}
            assert len(found) == told["size"]
        return found

    return Place(FileDestination(folder=folder, format=format, rows=rows, notes={}), held)


def postgres_place(address: str, variable: str, columns: tuple[str, ...] = ()) -> Place:
    """A table; the reader asks the database."""

    def held() -> dict[str, tuple[object, ...]]:
        with psycopg.connect(address) as connection:
            if not connection.execute("SELECT to_regclass('people')").fetchall()[0][0]:
                return {}
            rows = connection.execute("SELECT * FROM people").fetchall()
        return {row[0]: tuple(row[1:]) for row in rows}

    destination = PostgresDestination(
        address_variable=variable, table="people", rows=ProfileRows(columns=columns)
    )
    return Place(destination, held)


def webhook_place(receiver: WebReceiver, variable: str, columns: tuple[str, ...] = ()) -> Place:
    """Messages; the reader applies complete deliveries, each message once."""

    def held() -> dict[str, tuple[object, ...]]:
        messages = {one.headers["webhook-id"]: json.loads(one.body) for one in receiver.received}
        deliveries: dict[str, list[dict[str, Any]]] = {}
        for message in messages.values():
            deliveries.setdefault(message["key"], []).append(message)
        found: dict[str, tuple[object, ...]] = {}
        for parts in sorted(deliveries.values(), key=lambda parts: parts[0]["number"]):
            if parts[0]["operation"] == "replace" and len(parts) == parts[0]["messages"]:
                found = {}
            elif parts[0]["operation"] == "replace":
                continue
            for message in sorted(parts, key=lambda part: part["message"]):
                for user in message["remove"]:
                    found.pop(user, None)
                for row in message["add"]:
                    found[row["user_id"]] = tuple(row.values())[1:]
        return found

    destination = WebhookDestination(
        url=receiver.url,
        secret_variable=variable,
        allow=AllowList(hosts=("localhost",), networks=("127.0.0.0/8", "::1/128")),
        rows=ProfileRows(columns=columns),
        batch_size=3,
        retries=Retries(first_wait_s=0.0),
    )
    return Place(destination, held)
