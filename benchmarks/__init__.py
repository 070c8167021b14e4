"""One script a theme; each is run as `python -m benchmarks.<theme>` and writes JSON."""
