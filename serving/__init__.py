"""The recommend endpoint."""
