#!/usr/bin/env bash
# Make .venv and install the locked requirements: torch first with its own dependencies (a CPU build
# where one is found, the CUDA one elsewhere), then every other pin without looking at its metadata.
# Usage: scripts/install.sh cpu|cuda [dev]
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:?cpu or cuda}
case "$device" in
  cpu) lock=requirements/cpu.txt ;;
  cuda) lock=requirements/gpu.txt ;;
  *) echo "install.sh: DEVICE is cpu or cuda, not '$device'" >&2; exit 2 ;;
esac

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3.11 python3.12 python3; do
    if "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
fi
[ -n "$python" ] || { echo "install.sh: Python 3.11 or 3.12 with venv is needed; set PYTHON=/path/to/python" >&2; exit 2; }

[ -x .venv/bin/python ] || "$python" -m venv .venv
# Byte code is compiled when a module is first imported: most of 2.5 GB never is.
pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install -qq --no-compile --progress-bar off"
for other in cpu cuda; do
  if [ "$other" != "$device" ] && [ -e ".venv/.installed-$other" ]; then
    echo "install.sh: .venv is made for $other; 'make clean' first to make it for $device" >&2
    exit 2
  fi
done
if ! [ ".venv/.installed-$device" -nt "$lock" ]; then
  echo "installing $(grep -c == "$lock") packages for $device into .venv (about 2.5 GB on CPU)"
  $pip "$(grep '^torch==' "$lock")"
  # Two installs at once, over disjoint halves of the lock.
  halves=$(mktemp -d)
  trap 'rm -rf "$halves"' EXIT
  grep == "$lock" | grep -v '^torch==' | awk -v d="$halves" '{print > d "/" (NR % 2) ".txt"}'
  $pip --no-deps -r "$halves/0.txt" &
  first_half=$!
  $pip --no-deps -r "$halves/1.txt"
  wait "$first_half"
  if [ "$device" = cuda ]; then
    $pip "$(grep '^faiss-gpu' "$lock")" # with its own CUDA runtime libraries, which no lock names
  fi
fi
$pip --no-deps --no-build-isolation --editable .
touch ".venv/.installed-$device"
if [ "${2:-}" = dev ]; then
  $pip --no-deps -r requirements/dev.txt
  touch ".venv/.installed-$device-dev"
fi
