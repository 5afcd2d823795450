# Windrow's chores. `make` alone lists them.
# On a machine with Go alone, `make test` installs what the tests need (on Debian, as root) and runs everything.

SHELL         := /bin/bash
.DEFAULT_GOAL := help

GO            ?= go
# Versions of the tools and servers that the tests use.
STATICCHECK   := honnef.co/go/tools/cmd/staticcheck@v0.8.2
KAFKA_VERSION ?= 4.3.1
# What make bench gives to windrow bench.
BENCH_ARGS     = $(if $(JOBS),--jobs $(JOBS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(RECORDS),--records $(RECORDS)) \
                 $(if $(COMPRESSION),--compression $(COMPRESSION)) $(if $(VARY),--vary $(VARY)) \
                 $(if $(JSON),--json $(abspath $(JSON))) $(if $(CSV),--csv $(abspath $(CSV))) $(if $(SVG),--svg $(abspath $(SVG))) $(if $(PROFILE),--profile $(abspath $(PROFILE)))
# How long make fuzz runs each test.
FUZZTIME      ?= 10s

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## install what is missing for the tests: redis-server, a JDK, Maven, Kafka's jars
	@scripts/setup.sh $(KAFKA_VERSION)

.PHONY: build
build: ## build the programs into bin/
	$(GO) build -o bin/ ./cmd/...

.PHONY: test
test: setup ## everything: format, vet, staticcheck, unit tests with the race detector, end-to-end tests on real servers
	@STATICCHECK=$(STATICCHECK) KAFKA_VERSION=$(KAFKA_VERSION) scripts/test.sh

.PHONY: test-short
test-short: ## quick tests alone: no servers, no race detector
	$(GO) vet ./...
	$(GO) test -short ./...

.PHONY: lint
lint: ## format, vet and staticcheck
	@STATICCHECK=$(STATICCHECK) scripts/test.sh lint

.PHONY: model
model: ## search the models of the protocol with the large bounds: minutes, and some gigabytes
	$(GO) run ./model

.PHONY: fuzz
fuzz: ## give every decoder of foreign bytes arbitrary ones, each for FUZZTIME (10s)
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: mutants
mutants: ## break the rules that the promises rest on, one at a time: the simulation must notice
	$(GO) test ./internal/sim -run 'TestEveryRuleIsNeeded$$' -count 1 -v

.PHONY: soak
soak: ## simulate further seeds for so long, with progress: FOR=10m FIRST=1001
	$(GO) test ./internal/sim -run 'TestSeeds$$' -for $(or $(FOR),10m) -first $(or $(FIRST),1001) -failures 5 -timeout 0 -count 1 -v

.PHONY: chaos
chaos: setup ## kill, pause, cut off, fill up and restart programs and servers under load: build/chaos/report.html
	$(GO) test -C e2e ./chaos -full -report $(CURDIR)/build/chaos -count 1 -timeout 90m -v

.PHONY: bench
bench: setup ## speed and memory next to a bare loop over the same Kafka: JOBS=count,keyed ROUNDS=5 RECORDS=100000 JSON=report.json
	$(GO) test -C e2e ./bench -run '^$$' -bench . -benchtime 1x -timeout 0 -v -args -- $(BENCH_ARGS)

.PHONY: bench-compare
bench-compare: ## the same, failing if a ratio to the bare loop is worse than in a report that make bench JSON=… wrote: BASE=report.json TOLERANCE=0.15
	@[ -n "$(BASE)" ] || { echo 'BASE=report.json names what to compare with: make bench JSON=report.json, on this machine, with the code as it was'; exit 2; }
	@$(MAKE) bench BENCH_ARGS='$(BENCH_ARGS) --compare $(abspath $(BASE)) $(if $(TOLERANCE),--tolerance $(TOLERANCE))'

.PHONY: demo
demo: ## watch windows come, without any server: everything in one process
	$(GO) run ./cmd/windrow demo

.PHONY: clean
clean: ## remove what building and testing left here
	rm -rf bin build
	$(GO) clean -testcache
