#!/usr/bin/env bash
# Runs all checks, one after the other, also after one has failed, and ends with a summary.
# usage: test.sh        everything (wants what setup.sh installs)
#        test.sh lint   format, vet and staticcheck alone
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
kafka=${KAFKA_VERSION:-4.3.1}
unset KAFKA_VERSION # programs under test would take it for a setting of theirs, misspelt
mkdir -p build
rm -f build/*.count

names=() results=() failed=0
step() { # step NAME COMMAND…
  local name=$1 begin=$SECONDS result=ok
  shift
  echo "== $name"
  "$@" || { result=FAILED; failed=1; }
  names+=("$name")
  results+=("$result, $((SECONDS - begin)) s")
}

formatted() { # no Go file is left unformatted
  local files
  files=$(git ls-files --cached --others --exclude-standard -- '*.go' | xargs -r -d '\n' ls 2>/dev/null | xargs -r -d '\n' gofmt -l)
  [ -z "$files" ] || { echo "not gofmt-clean:"; echo "$files"; return 1; }
}

# Test results go through testreport: progress, the output of what failed, and counts that are added up below.
tests() { # tests MODULE LOG GO-TEST-ARGUMENTS AND PACKAGES…
  go -C "$1" test -json "${@:3}" | "$root/build/testreport" "$root/build/$2"
}

# The model's searches have no goroutines to race, the simulation lets one go on at a time: with the detector both would
# take ten times as long.
unit_tests() { tests . unit.count -race -timeout 20m $(go list ./... | grep -v -e '/windrow/model' -e '/windrow/internal/sim$'); }
sim_tests() { tests . sim.count -timeout 20m ./internal/sim; }
model_tests() { tests . model.count -timeout 20m ./model/...; }

e2e_tests() { KAFKA_VERSION=$kafka tests e2e e2e.count -p 1 -timeout 45m ./...; }

step "format" formatted
step "vet" go vet ./...
step "vet e2e" go -C e2e vet ./...
step "vet charts/test" go -C charts/test vet ./...
step "staticcheck" go run "$STATICCHECK" ./...
step "staticcheck e2e" go -C e2e run "$STATICCHECK" ./...
if [ "${1:-}" != lint ]; then
  step "build the test report" go -C e2e build -o "$root/build/testreport" ./cmd/testreport
  step "unit tests, with the race detector" unit_tests
  step "simulation, 1000 seeds" sim_tests
  step "the model's searches" model_tests
  step "chart and compose file" tests charts/test charts.count -timeout 20m ./...
  # Without the detector: it would watch the tests, not the programs, which are processes of their own. One package after
  # the other: each has a broker of its own.
  step "end-to-end tests, Kafka $kafka" e2e_tests
fi

echo "== summary"
for i in "${!names[@]}"; do printf '%-45s %s\n' "${names[$i]}" "${results[$i]}"; done
[ "${1:-}" = lint ] || awk '{p += $1; f += $2} END {printf "%d passed, %d failed\n", p, f}' build/*.count
exit $failed
