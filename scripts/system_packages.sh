#!/usr/bin/env bash
# Install what tests need beside Python and this machine lacks: redis-server, postgresql, chromium, wrk.
# No service is started: tests start their own servers, in folders of their own.
# Usage: scripts/system_packages.sh [--check]     --check only says what is missing (exit code 1)
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
command -v chromium >/dev/null || missing+=(chromium)
command -v wrk >/dev/null || missing+=(wrk)
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
if [ "${1:-}" = --check ]; then
  echo "system_packages.sh: missing: ${missing[*]}" >&2
  exit 1
fi

if ! command -v apt-get >/dev/null; then
  echo "system_packages.sh: missing ${missing[*]}, and there is no apt-get to install them:" \
    "install them with this system's package manager" >&2
  exit 2
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "system_packages.sh: missing ${missing[*]}; only root can install them, and there is no" \
      "sudo: run 'apt-get install --no-install-recommends ${missing[*]}' as root" >&2
    exit 2
  fi
  as_root=(sudo)
fi

# Debian starts a service as soon as it is installed, unless this file says that none may start.
policy=/usr/sbin/policy-rc.d
kept=$(mktemp -d)
restore() {
  if [ -e "$kept/policy-rc.d" ]; then
    "${as_root[@]}" cp -p "$kept/policy-rc.d" "$policy"
  else
    "${as_root[@]}" rm -f "$policy"
  fi
  "${as_root[@]}" rm -rf "$kept"
}
if [ -e "$policy" ]; then
  "${as_root[@]}" cp -p "$policy" "$kept/policy-rc.d"
fi
trap restore EXIT
printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
"${as_root[@]}" chmod 755 "$policy"

apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
echo "installing ${missing[*]}"
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
