#!/usr/bin/env bash
# Installs what the tests need and is missing: on Debian, as root, with apt; elsewhere it says what to install.
# usage: setup.sh [KAFKA_VERSION…]     the versions of Kafka whose jars are fetched into the cache
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { # need COMMAND PACKAGE…: the command is there, or its packages are to be installed
  command -v "$1" >/dev/null || missing+=("${@:2}")
}
need make make
need git git
need cc gcc libc6-dev # the race detector is linked by it, and the clock of servers whose time steps
need redis-server redis-server
need javac default-jdk-headless
need python3 python3-minimal # examples/handler/handler.py is tested too
need mvn maven

if [ ${#missing[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "setup: not installed: ${missing[*]} (Debian's names). Install them, or run this as root on Debian." >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly() { "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }; }
  log=$(mktemp)
  if ! apt-get install --simulate -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
    quietly apt-get update
  fi
  if ! apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    quietly apt-get update # the lists were old: the versions they name are gone
    quietly apt-get install -y --no-install-recommends "${missing[@]}"
  fi
  rm -f "$log"
fi

command -v go >/dev/null || { echo "setup: Go is not installed: see https://go.dev/doc/install" >&2; exit 1; }
java=$(javac -version 2>&1 | sed -E 's/^javac ([0-9]+).*/\1/')
[ "$java" -ge 17 ] || { echo "setup: Kafka needs Java 17 or newer, javac is $java" >&2; exit 1; }

echo "setup: fetching modules"
for module in . e2e charts/test; do go -C "$module" mod download; done
echo "setup: fetching the servers' jars"
go -C e2e run ./cmd/serverjars "$@"
