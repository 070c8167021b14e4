"""What each feature of the ranker is about: groups that people can be told of."""

# What a feature is about, by its name or the source in it.
_OF_SOURCE = {
    "two_tower": "taste",
    "item_to_item": "bought",
    "next_item": "bought",
    "two_steps": "bought",
    "linear": "bought",
    "popular_recent": "popularity",
    "popular_in_categories": "category",
    "text": "text",
    "browsed": "browsing",
}
_OF_FEATURE = {
    "fused": "agreement",
    "item:num_purchases": "popularity",
    "item:num_purchases_90d": "popularity",
    "item:num_views": "popularity",
    "item:num_reviews": "popularity",
    "item:age_days": "popularity",
    "item:stars_smoothed": "satisfaction",
    "item:polarity_smoothed": "satisfaction",
    "item:negative_share": "satisfaction",
    "item:return_rate": "satisfaction",
    "item:price_cents": "price",
    "pair:price_gap": "price",
    "pair:text_max": "text",
    "pair:text_mean": "text",
    "pair:felt_text": "text",
    "pair:category_share": "category",
    "pair:felt_category": "category",
    "pair:kin_of_last": "category",
    "pair:kin_of_recent": "category",
    "pair:brand_share": "brand",
    "pair:felt_brand": "brand",
    "pair:browse_strength": "browsing",
    "pair:browse_recency": "browsing",
}
_OF_SCOPE = {"user": "user"}
GROUPS = tuple(sorted({*_OF_SOURCE.values(), *_OF_FEATURE.values(), *_OF_SCOPE.values()}))
"""All groups of features; `agreement` is of all sources together, `user` of the user alone."""


def group_of(feature: str) -> str:
    """Return the group of a feature of `recsys.pair_features.feature_names`.

    >>> group_of("log_rank:two_tower"), group_of("pair:brand_share"), group_of("user:num_views")
    ('taste', 'brand', 'user')

    Raises:
        KeyError: If it is none.
    """
    scope, _, rest = feature.partition(":")
    if scope in ("score", "log_rank", "last"):
        return _OF_SOURCE[rest]
    return _OF_SCOPE[scope] if scope in _OF_SCOPE else _OF_FEATURE[feature]
