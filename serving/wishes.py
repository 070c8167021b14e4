"""What a request wants of the list, as a factor of each item's relevance.

Shape suffixes: I items.
"""

import numpy as np

from recsys.aspect_wishes import ItemAspects
from recsys.rerank_config import GREATEST_FACTOR
from serving.catalogue import Catalogue
from serving.filters import matching_items
from serving.schema import RecommendationRequest


def wished_factors(
    request: RecommendationRequest, catalogue: Catalogue, aspects: ItemAspects
) -> tuple[np.ndarray | None, list[str]]:
    """Return what boosts, burials, novelty and aspects make of relevance.

    Returns:
        Factors, 0 takes an item out, float64, shape (I,), None where nothing is wished for; and the
        aspects of the request that no buyer speaks of.
    """
    prefer, avoid = request.prefer_aspects or [], request.avoid_aspects or []
    if not (request.boost or request.bury or request.novelty or prefer or avoid):
        return None, []
    factor_I, unmatched = aspects.factors(prefer, avoid, len(catalogue))
    if request.novelty:
        factor_I *= 1.0 - request.novelty * catalogue.popularity_I
    for wish in (*(request.boost or ()), *(request.bury or ())):
        factor_I[matching_items(wish, catalogue)] *= wish.factor
    return np.minimum(factor_I, GREATEST_FACTOR), unmatched
