"""How fast the endpoint answers, beside one that does nothing."""
