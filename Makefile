# Thin and self-documenting: `make help` lists the targets. Recipes run on the pinned Node in node_modules, whatever
# Node the machine has.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
NODE := node_modules/.bin/node
NPM_CI := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
STAMP := node_modules/.setup-stamp

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): package.json package-lock.json
	$(NPM_CI)
	npm rebuild node --ignore-scripts=false --loglevel=error
	@$(NODE) -e 'if (Number(process.versions.node.split(".")[0]) < 24) { console.error("setup failed: the pinned Node is " + process.version + ", 24 or newer is needed"); process.exit(1); }'
	@touch $@

.PHONY: setup
setup: $(STAMP) ## Install the pinned Node and all dependencies

GEN_STAMP := node_modules/.gen-stamp

$(GEN_STAMP): $(STAMP) buf.gen.yaml buf.yaml $(shell find proto -name '*.proto')
	buf generate
	@touch $@

.PHONY: gen
gen: $(GEN_STAMP) ## Generate gen/ from proto/, which is committed

.PHONY: build
build: $(GEN_STAMP) ## Compile src/ to dist/
	tsc -p tsconfig.build.json

.PHONY: run
run: build ## Start three nodes on loopback, each a process of its own; Ctrl-C ends them
	$(NODE) dist/main.js dev

.PHONY: fmt
fmt: $(STAMP) ## Format everything
	biome format --write .
	buf format -w

.PHONY: fix
fix: $(STAMP) ## Format, and apply the linter's safe fixes
	biome check --write .
	buf format -w

.PHONY: lint
lint: $(STAMP) ## Check format, lint rules, import rules, unused code, protos
	biome check --error-on-warnings .
	knip
	buf lint
	buf format --diff --exit-code
	buf breaking --against proto/landed.binpb

.PHONY: typecheck
typecheck: $(STAMP) ## Check types
	tsc

.PHONY: gen-drift
gen-drift: $(STAMP) ## Check that gen/ is what proto/ generates
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && buf generate --output "$$fresh" && diff -r "$$fresh/gen" gen

.PHONY: verify
verify: lint typecheck gen-drift ## Run all static checks; writes nothing

.PHONY: proto-landed
proto-landed: $(STAMP) ## Record the protos as landed: from then on, buf breaking holds later ones against them
	buf build -o proto/landed.binpb

.PHONY: test
test: build ## Run all tests
	vitest run $(VITEST_ARGS)

COVERED := src/raft src/node src/session
.PHONY: coverage
coverage: $(STAMP) ## Show what the core's, the node's and the simulation's tests reach; less than 95 % of branches fails
	vitest run --reporter=dot --coverage $(COVERED:%=--coverage.include='%/**') --coverage.reporter=text \
	  --coverage.thresholds.branches=95 test/raft test/node test/session test/apply test/scenarios test/simulation

SEEDS ?= 2000
.PHONY: sim
sim: $(STAMP) ## Simulate clusters in trouble: SEEDS=2000 of them, or SEED=7 with a transcript
	@$(NODE) test/simulation/run.ts $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(SIM_ARGS)

MESSAGES ?= 50000
.PHONY: fuzz
fuzz: $(STAMP) ## Send MESSAGES=50000 fuzzed messages to three nodes, over all RPCs of all listeners; SEED=7 repeats a run
	@$(NODE) test/hostile/run.ts --messages $(MESSAGES) $(if $(SEED),--seed $(SEED)) $(if $(BATCH),--batch $(BATCH))

.PHONY: soak
soak: build ## Keep three nodes under load for long; SOAK_ARGS="soak --minutes 30" or "transfer --bytes 2147483648"
	$(NODE) test/soak/run.ts $(or $(SOAK_ARGS),soak)

.PHONY: mutants
mutants: $(STAMP) ## Break the program on purpose, by the named mutants and then by StrykerJS: all must be noticed
	$(NODE) test/mutants/run.ts
	stryker run

.PHONY: model
model: $(STAMP) ## Explore three cores exhaustively within bounds, at most MODEL_MINUTES (30) and 8 GiB
	$(NODE) --max-semi-space-size=32 test/model/main.ts $(BOUNDS)

BENCH := .cache/bench
.PHONY: bench
bench: build ## Measure against etcd and NATS JetStream and write docs/PERFORMANCE.md; QUICK=1 only shows a table; needs Go
	bench/setup.sh $(BENCH)
	$(BENCH)/bench -root . -peers $(BENCH) $(if $(QUICK),-quick,-output docs) $(BENCH_ARGS)

.PHONY: demo
demo: build ## Load real data through three Python services while the leader is killed; needs Python 3
	examples/demo/run.sh

.PHONY: test-polyglot
test-polyglot: build ## Test the Python and Go services and clients against live clusters with kills; needs Python 3, and Go
	test/polyglot/run.sh

.PHONY: test-powerloss
test-powerloss: $(STAMP) ## Cut the power of recorded nodes and open what is left; SEED=7 repeats the choices; needs Linux and cc
	@$(NODE) test/powerloss/run.ts $(if $(SEED),--seed $(SEED)) $(POWERLOSS_ARGS)

.PHONY: clean
clean: ## Remove what was built and installed
	rm -rf dist coverage node_modules .cache
