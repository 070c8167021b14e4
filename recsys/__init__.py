"""Models: retrieval, ranking, evaluation, and the bundle that holds them."""
