"""Filters of a request, as a mask over the catalogue.

Shape suffixes: I items.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from serving.catalogue import Catalogue
from serving.schema import Filters, Wish


def allowed_items(filters: Filters | None, catalogue: Catalogue) -> np.ndarray | None:
    """Return which items pass every filter, bool, shape (I,); None where nothing is filtered.

    An item without a price passes no price filter. An item whose stock is unknown counts as in
    stock.
    """
    if filters is None or not filters.model_fields_set:
        return None
    allowed_I = np.ones(len(catalogue), dtype=bool)
    if filters.category is not None:
        allowed_I &= _any_of(filters.category, catalogue.of_category, len(catalogue))
    if filters.brand is not None:
        allowed_I &= _any_of(filters.brand, catalogue.of_brand, len(catalogue))
    if filters.min_price_cents is not None:
        allowed_I &= catalogue.price_I >= filters.min_price_cents
    if filters.max_price_cents is not None:
        allowed_I &= catalogue.price_I <= filters.max_price_cents
    if filters.in_stock is not None:
        allowed_I &= catalogue.sold_out_I != filters.in_stock
    if filters.include_item_ids is not None:
        included_I = np.zeros(len(catalogue), dtype=bool)
        included_I[_known(filters.include_item_ids, catalogue)] = True
        allowed_I &= included_I
    if filters.exclude_item_ids is not None:
        allowed_I[_known(filters.exclude_item_ids, catalogue)] = False
    return allowed_I


def within(allowed: np.ndarray | None, hidden: list[int], num_items: int) -> np.ndarray | None:
    """Return the mask without hidden items; None where neither leaves anything out."""
    if not hidden:
        return allowed
    left_I = np.ones(num_items, dtype=bool) if allowed is None else allowed.copy()
    left_I[hidden] = False
    return left_I


def relaxed(filters: Filters) -> Filters:
    """Return what holds also where nothing passes: stock, and what is not wanted at all."""
    return filters.model_copy(
        update={
            "category": None,
            "brand": None,
            "min_price_cents": None,
            "max_price_cents": None,
            "include_item_ids": None,
        }
    )


def matching_items(wish: Wish, catalogue: Catalogue) -> np.ndarray:
    """Return the items that a wish names in any way, bool, shape (I,)."""
    mask_I = _any_of(wish.category or (), catalogue.of_category, len(catalogue))
    mask_I |= _any_of(wish.brand or (), catalogue.of_brand, len(catalogue))
    mask_I[_known(wish.item_ids or (), catalogue)] = True
    return mask_I


def _any_of(names: Iterable[str], rows: Mapping[str, np.ndarray], num_items: int) -> np.ndarray:
    mask_I = np.zeros(num_items, dtype=bool)
    for name in names:
        if name in rows:
            mask_I[rows[name]] = True
    return mask_I


def _known(item_ids: Iterable[str], catalogue: Catalogue) -> list[int]:
    return [catalogue.index[item_id] for item_id in item_ids if item_id in catalogue.index]
