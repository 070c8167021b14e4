"""Whether intervals and tests of experiments hold what they promise."""
