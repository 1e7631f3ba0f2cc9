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

.PHONY: demo
demo: build ## Load real data through three Python services while the leader is killed; needs Python 3
	examples/demo/run.sh

.PHONY: test-polyglot
test-polyglot: build ## Test the Python service against a live cluster with leader kills; needs Python 3
	test/polyglot/run.sh

.PHONY: clean
clean: ## Remove what was built and installed
	rm -rf dist coverage node_modules .cache
