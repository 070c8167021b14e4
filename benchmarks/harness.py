"""What every benchmark notes beside its figures: hardware, versions, spread."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.code_version import code_version

_PACKAGES = ("polars", "ray", "torch", "torchrec", "faiss-cpu", "lightgbm", "transformers")


def environment() -> dict[str, Any]:
    """Hardware, versions and code behind a figure."""
    return {
        "cpu": _cpu_name(),
        "num_cpus": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "code": code_version(),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of repeated figures."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def write(path: Path | None, content: dict[str, Any]) -> None:
    """Write figures with their environment, if a file is named."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"environment": environment(), **content}, indent=2)
        path.write_text(text + "\n")


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
