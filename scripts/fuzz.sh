#!/usr/bin/env bash
# Runs every fuzz test, one after the other, also after one has failed. What breaks one is kept in its testdata/fuzz: commit it.
# usage: fuzz.sh [TIME]     how long each runs, 10s by default
set -uo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
failed=() n=0
mapfile -t tests < <(git grep -nE '^func Fuzz[A-Za-z0-9]+\(' -- '*_test.go' | sed -E 's|^(.*)/[^/]*:[0-9]+:func (Fuzz[A-Za-z0-9]+)\(.*|\1 \2|')
[ ${#tests[@]} -gt 0 ] || { echo "fuzz: there are no fuzz tests" >&2; exit 1; }
for t in "${tests[@]}"; do
  read -r package name <<<"$t"
  n=$((n + 1))
  echo "== $n of ${#tests[@]}: $name of $package, $time"
  go test "./$package" -run '^$' -fuzz "^$name\$" -fuzztime "$time" || failed+=("$package $name")
done
echo "== ${#tests[@]} fuzz tests, ${#failed[@]} failed"
[ ${#failed[@]} -eq 0 ] || { printf '%s\n' "${failed[@]}"; exit 1; }
