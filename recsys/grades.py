"""How a purchase went, as a label: the less it satisfied, the less it is worth finding.

`features.felt_purchases` says who was satisfied.
"""

# 0 is what was not bought; of most purchases nothing is known but that they were made.
DISLIKED, BOUGHT, LOVED = 1, 2, 3
