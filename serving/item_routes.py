"""`GET /v1/items/{id}/similar`, `/bought-together` and `/insight`, and `GET /v1/trending`."""

from typing import Any

from fastapi import FastAPI, Request, Response

from serving.insight import item_insight
from serving.item_lists import bought_together, similar_items, trending_items
from serving.openapi import needs, problems
from serving.path_ids import PathId, path_id
from serving.problems import ProblemError
from serving.query_parameters import query_parameters, read_query
from serving.schema_insight import InsightResponse
from serving.schema_items import (
    ItemsQuery,
    SimilarResponse,
    TogetherResponse,
    TrendingQuery,
    TrendingResponse,
)
from serving.schema_types import RequestModel
from serving.service import Service, json_response
from serving.snapshot import Snapshot

ANSWERS = (InsightResponse, SimilarResponse, TogetherResponse, TrendingResponse)


class _NoQuery(RequestModel):
    """No parameters at all."""


def add_item_routes(app: FastAPI, service: Service) -> None:
    """Add the routes to an application."""

    @app.get(
        "/v1/items/{item_id:path}/similar",
        summary="Items like an item",
        response_model=SimilarResponse,
        responses=problems(404, 422, 500, 503),
        openapi_extra=needs("read") | query_parameters(ItemsQuery),
    )
    async def similar(item_id: PathId, request: Request) -> Response:
        """Items like it in text, attributes and behaviour; also of an item that nobody has touched.

        Never the item itself, nor what is known to be out of stock, nor what the shop's rules take
        out.
        """
        service.caller(request, "read")
        asked = read_query(request, ItemsQuery)
        snapshot, item = _item(service, item_id)
        await snapshot.deferred.until_similar()
        return _answered(request, snapshot, similar_items(item, asked.k, snapshot))

    @app.get(
        "/v1/items/{item_id:path}/bought-together",
        summary="What is bought with an item",
        response_model=TogetherResponse,
        responses=problems(404, 422, 500, 503),
        openapi_extra=needs("read") | query_parameters(ItemsQuery),
    )
    async def together(item_id: PathId, request: Request) -> Response:
        """What its buyers bought as well, more often than others did, and how sure that is.

        Nothing fills up the list: where nothing is known, it is empty and `degraded` says so.
        """
        service.caller(request, "read")
        asked = read_query(request, ItemsQuery)
        snapshot, item = _item(service, item_id)
        return _answered(request, snapshot, bought_together(item, asked.k, snapshot))

    @app.get(
        "/v1/items/{item_id:path}/insight",
        summary="What is known of an item and said of it",
        response_model=InsightResponse,
        responses=problems(404, 422, 500, 503),
        openapi_extra=needs("read"),
    )
    async def insight(item_id: PathId, request: Request) -> Response:
        """How it sells, how satisfied buyers are, what they say of its aspects, what they miss.

        Quotes are verbatim, of reviews whose authors were not erased.
        """
        service.caller(request, "read")
        read_query(request, _NoQuery)
        snapshot, item = _item(service, item_id)
        return _answered(request, snapshot, item_insight(item, snapshot))

    @app.get(
        "/v1/trending",
        summary="What rises",
        response_model=TrendingResponse,
        responses=problems(422, 500, 503),
        openapi_extra=needs("read") | query_parameters(TrendingQuery),
    )
    async def trending(request: Request) -> Response:
        """Items that more people buy of late than before, the surest first; then what is popular.

        Never what is known to be out of stock or taken out by the shop's rules. A category that no
        item has is an empty list, and `degraded` says so: a page of a new category shows nothing,
        and does not fail.
        """
        service.caller(request, "read")
        asked = read_query(request, TrendingQuery)
        snapshot = service.fresh()
        return _answered(request, snapshot, trending_items(asked, snapshot))


def _item(service: Service, item_id: str) -> tuple[Snapshot, int]:
    """Return what to answer from, and the index of an item in it.

    Raises:
        ProblemError: 422 where the id can be none, 404 where there is no such item, 503 before
            anything is loaded.
    """
    item_id = path_id(item_id, "item_id")
    snapshot = service.fresh()
    item = snapshot.catalogue.index.get(item_id)
    if item is None:
        raise ProblemError(404, "unknown-item", "the live bundle knows no item of this id")
    return snapshot, item


def _answered(request: Request, snapshot: Snapshot, told: dict[str, Any]) -> Response:
    head = {
        "request_id": request.state.request_id,
        "model_version": snapshot.manifest.version,
    }
    return json_response(head | told)
