"""Resolve requirements/*.in into full pins without addresses.

Plain pip resolves each set on its own (`pip install --dry-run --report`), so nothing is needed that
a fresh machine lacks. The override is `nodeps.in`: those packages are pinned but their metadata is
never read, which keeps torchrec from pulling the CUDA fbgemm-gpu onto CPU machines.

Usage: python scripts/lock.py cpu gpu dev
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "requirements"
# torch's own dependencies on CUDA come with torch itself; the lock never names them.
FROM_TORCH = re.compile(r"^(nvidia-.*|triton|cuda-.*)$")
HEADER = """# Made by `make lock` from {sources}; do not edit.
# Install torch first with its own dependencies, then this file with --no-deps (scripts/install.sh).
"""


def read_requirements(name: str) -> list[str]:
    lines = (FOLDER / f"{name}.in").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def resolve(requirements: list[str]) -> dict[str, str]:
    """Return name -> version of everything pip would install for these requirements."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--report", str(report), *requirements]
        subprocess.run(command, check=True)
        installs = json.loads(report.read_text())["install"]
    return {canonical(i["metadata"]["name"]): public(i["metadata"]["version"]) for i in installs}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def public(version: str) -> str:
    """Drop a local version such as `+cpu`."""
    return version.split("+")[0]


def lock(name: str) -> dict[str, str]:
    """Resolve one set; `dev` is what the checks need on top of `cpu`."""
    if name == "dev":
        base = lock_file("cpu")
        constraints = [f"{package}=={version}" for package, version in base.items()]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(constraints))
            file.flush()
            pins = resolve(["-c", file.name, *read_requirements("dev")])
        return {package: version for package, version in pins.items() if package not in base}
    pins = resolve([*read_requirements(name), *resolvable_nodeps()])
    for requirement in read_requirements("nodeps"):
        package, _, version = requirement.partition("==")
        if version:
            pins[canonical(package)] = version
    if name == "gpu":
        pins = {package: v for package, v in pins.items() if not FROM_TORCH.match(package)}
    return pins


def resolvable_nodeps() -> list[str]:
    """Entries of nodeps.in without a pin: their newest version and dependencies may be resolved."""
    return [requirement for requirement in read_requirements("nodeps") if "==" not in requirement]


def lock_file(name: str) -> dict[str, str]:
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return dict(pairs)  # type: ignore[arg-type]


def write(name: str, pins: dict[str, str]) -> None:
    sources = f"{name}.in" + ("" if name == "dev" else " and nodeps.in")
    lines = [f"{package}=={version}" for package, version in sorted(pins.items())]
    (FOLDER / f"{name}.txt").write_text(HEADER.format(sources=sources) + "\n".join(lines) + "\n")
    print(f"requirements/{name}.txt: {len(lines)} pins")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=["cpu", "gpu", "dev"])
    for name in parser.parse_args().names:
        write(name, lock(name))


if __name__ == "__main__":
    main()
