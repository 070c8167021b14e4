"""Programs that tests need beside Python: scripts/system_packages.sh installs them."""

import os
import shutil
from pathlib import Path

import pytest

_POSTGRES = Path("/usr/lib/postgresql")
"""Debian keeps programs of a version in `<version>/bin`, off the search path."""


def needed(name: str) -> str:
    """Return the path of a program.

    Where it is missing the test that asks is skipped, or fails if the environment says CI.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    of_postgres = sorted(_POSTGRES.glob(f"*/bin/{name}"))
    if of_postgres:
        return str(of_postgres[-1])
    why = f"needs {name}: scripts/system_packages.sh installs it"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
