"""Lists in an object store, spoken to over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
import s3fs
from delivery_places import file_place
from delivery_shop import CHANNEL, audience, delivering, store_of
from moto.server import ThreadedMotoServer

from jobs.delivery.target import Target
from jobs.errors import BadInputError, DeliveryError

USERS = [f"user-{number:02d}" for number in range(6)]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "tester",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"lists-{uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield f"s3://{name}/marketing"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_lists_are_exported_and_kept_up_in_an_object_store(
    tmp_path: Path, bucket: str, format: str
) -> None:
    place = file_place(bucket, "csv" if format == "csv" else "parquet")
    target = Target(
        name="bucket", destination=place.destination, channel=CHANNEL, min_size=1, is_contact=False
    )
    store = store_of(tmp_path, USERS)
    report = delivering(store).run(audience(USERS[:4]), target, "export")
    assert report.receipt is not None
    assert report.receipt.place == f"{bucket}/at-risk/000001-manifest.json"
    assert set(place.held()) == set(USERS[:4])
    delivering(store).run(audience(USERS[2:]), target, "sync")
    assert set(place.held()) == set(USERS[2:])


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, bucket: str) -> None:
    place = file_place("s3://elsewhere/lists", "csv")
    target = Target(name="bucket", destination=place.destination, channel=CHANNEL, min_size=1)
    with pytest.raises((BadInputError, DeliveryError), match="elsewhere"):
        delivering(store_of(tmp_path, USERS)).run(audience(USERS), target, "export")
