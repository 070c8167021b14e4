"""A generated shop whose truth is known, for tests, benchmarks and the demo.

Nothing in it is real: brands, people, addresses and phone numbers are made up.
"""

from jobs.sample_shop.config import ShopConfig
from jobs.sample_shop.shop import Shop, generate_shop, write_shop
from jobs.sample_shop.truth import Truth, expected_satisfaction

__all__ = ["Shop", "ShopConfig", "Truth", "expected_satisfaction", "generate_shop", "write_shop"]
