SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

GOLANGCI_VERSION := v2.12.2
GOTESTSUM_VERSION := v1.13.0
GOVULNCHECK_VERSION := v1.9.0

FUNCTIONS := $(patsubst functions/%/main.go,%,$(wildcard functions/*/main.go))
ARCHS := arm64 amd64

# How the functions are built: static, without the RPC mode that only the
# retired go1.x runtime used, and the same bytes from the same source.
GO_BUILD = CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -tags lambda.norpc -ldflags='-s -w'

# A checkout of its own: cached findings name the files of the checkout they
# were made in, and the exclusions of another do not fit them.
export GOLANGCI_LINT_CACHE := $(CURDIR)/.cache/golangci-lint

# Run a command with one PostgreSQL (DATABASE_URL) and one LocalStack
# (OUTBOX_TEST_LOCALSTACK_URL) for all test packages.
WITH_POSTGRES = go run ./localstack/postgres --
WITH_LOCALSTACK = go run ./localstack/localstack -optional --

# Run a command with a PgBouncer in transaction mode in front of DATABASE_URL
# (OUTBOX_TEST_POOLER_URL); without PgBouncer say SKIPPED, and fail with CI=true.
WITH_PGBOUNCER = go run ./localstack/pgbouncer -optional --

# FORMAT=standard-verbose prints every test, standard-quiet a line per package.
FORMAT ?= standard-quiet
GOTESTSUM = go run gotest.tools/gotestsum@$(GOTESTSUM_VERSION) --format $(FORMAT) --

# The packages whose tests are about what PostgreSQL does.
DATABASE_SUITES = ./pkg/outbox ./pkg/outbox/pgstore ./internal/pgadmin ./internal/janitor ./test/stores

.PHONY: help
help: ## print this help
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z][a-zA-Z0-9_-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Test

.PHONY: test
test: ## run the whole suite: race detector, PostgreSQL, LocalStack, gorm and sqlx, PgBouncer
	@.ci/install pgbouncer
	$(WITH_POSTGRES) $(WITH_LOCALSTACK) $(GOTESTSUM) -race ./...
	@$(MAKE) --no-print-directory test-orm test-pgbouncer

.PHONY: test-short
test-short: ## run the suite without LocalStack; its tests are listed as skipped
	$(WITH_POSTGRES) $(GOTESTSUM) -race ./...

.PHONY: test-long
test-long: ## run the backlogs that take minutes: 1,000,000 copied rows, 100,000 blocked events
	OUTBOX_TEST_LONG=1 $(WITH_POSTGRES) go test ./test/nastiest -run Backlog -count=1 -v -timeout 30m

.PHONY: test-orm
test-orm: ## run the examples for gorm and sqlx, which are a module of their own
	$(WITH_POSTGRES) go -C test/orm test -race ./...

.PHONY: test-pgbouncer
test-pgbouncer: ## run the suites of the database through PgBouncer in transaction mode
	$(WITH_POSTGRES) $(WITH_PGBOUNCER) $(GOTESTSUM) -race $(DATABASE_SUITES)

.PHONY: test-foreign
# Every session begins with these. The suites must not notice.
FOREIGN = client_encoding=LATIN1 datestyle=German,DMY timezone=Asia/Kolkata intervalstyle=sql_standard search_path= \
  extra_float_digits=-15 plan_cache_mode=force_generic_plan row_security=off \
  statement_timeout=20s lock_timeout=10s
test-foreign: ## run the suites of the database on a server with foreign settings
	go run ./localstack/postgres $(addprefix -set ,$(FOREIGN)) -- $(GOTESTSUM) ./pkg/outbox/pgstore ./internal/pgadmin ./internal/janitor ./test/stores

.PHONY: test-localstack
test-localstack: ## run only the packages that test against LocalStack
	$(WITH_POSTGRES) go run ./localstack/localstack -- $(GOTESTSUM) -race \
	  $$(grep -rl --include='*_test.go' OUTBOX_TEST_LOCALSTACK_URL . | xargs -n1 dirname | sort -u)

.PHONY: fuzz
FUZZTIME ?= 30s
fuzz: ## fuzz each target for FUZZTIME (30s)
	@grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed 's/:func / /' | sort | while read -r file target; do \
	  echo "== $$target ($$(dirname "$$file"))"; \
	  go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
	done

.PHONY: schema
schema: ## write the golden dump of the schema again
	$(WITH_POSTGRES) go test ./pkg/outbox/pgstore -run Schema -count=1 -update

.PHONY: test-busy
TIMES ?= 1
PACKAGES ?= ./...
# Each loop ends with the shell of this recipe, however that ends. The suite is a
# process group of its own, so that all of it can be ended.
test-busy: ## run the suite, or PACKAGES, TIMES times on a machine kept busy by six endless loops
	@jobs=(); trap 'kill "$${jobs[@]}" 2>/dev/null || :' EXIT; trap 'exit 130' INT TERM; \
	for _ in {1..6}; do (while kill -0 $$$$; do :; done) 2>/dev/null & jobs+=($$!); done; \
	for ((n = 1; n <= $(TIMES); n++)); do \
	  echo "== $$n of $(TIMES)"; \
	  set -m; $(WITH_POSTGRES) $(GOTESTSUM) -count=1 -timeout 60m $(PACKAGES) & jobs[6]=-$$!; set +m; \
	  wait $$!; \
	done

.PHONY: test-versions
VERSIONS ?= 16 17 18
# Without the race detector: what differs is the server. A version that is not installed is fetched once.
test-versions: ## run the suites of the database on each of the VERSIONS (16 17 18) of PostgreSQL
	@for version in $(VERSIONS); do \
	  echo "== PostgreSQL $$version"; \
	  go run ./localstack/postgres -version $$version -- $(GOTESTSUM) $(DATABASE_SUITES); \
	done

##@ Campaigns

# chaos, failpoints, isolation and mutants are one command: see its -help.
CAMPAIGN = go run ./test/campaign

.PHONY: simulate
N ?= 10000
SEED ?= 1
simulate: ## run N histories of the relay in virtual time, from SEED on
	go test ./pkg/outbox/relay -count=1 -timeout 0 -v -run '^TestSimulate$$' -simulate.n=$(N) -simulate.seed=$(SEED)

.PHONY: mutants
ENOUGH ?= 5
mutants: ## put deliberate bugs into the relay and fail unless the simulation tells of each
	$(CAMPAIGN) mutants -enough $(ENOUGH)

.PHONY: chaos
RUNS ?= 100
FAULTS ?=
chaos: ## RUNS runs of the compiled relay among faults, from SEED on; only FAULTS when set
	$(CAMPAIGN) chaos -runs $(RUNS) -seed $(SEED) -parallel 4 -faults '$(FAULTS)'

.PHONY: failover
failover: ## ROUNDS chains of four promotions of a real standby, half with loss; writes into docs/reliability.md
	$(CAMPAIGN) failover -runs $(or $(ROUNDS),10) -seed $(SEED) -write docs/reliability.md

.PHONY: failpoints
FAILPOINTS ?=
failpoints: ## stop the relay at each step by each fault; writes the table into docs/reliability.md
	$(CAMPAIGN) failpoints $(if $(FAILPOINTS),-steps '$(FAILPOINTS)',-write docs/reliability.md)

.PHONY: isolation
isolation: ## measure what a fault costs elsewhere, hand-overs and kills; writes into docs/reliability.md
	$(CAMPAIGN) isolation -rounds $(or $(ROUNDS),3) -write docs/reliability.md

.PHONY: redrive-campaign
redrive-campaign: ## redrive 10,000 messages of 500 groups through kills, beside live traffic
	go test ./internal/redrive/sqsdlq -count=1 -timeout 0 -v -run '^TestTwoRunsFiveKillsAndLiveTraffic$$' -redrive.campaign
	go test ./test/functions -count=1 -timeout 0 -v -run 'ThroughKills$$' -redrive.campaign

.PHONY: janitor-campaign
janitor-campaign: ## archive three million rows beside a relay; fails when it holds others up
	go run ./localstack/postgres -fsync -- go test ./internal/janitor -run '^$$' -bench '^BenchmarkArchiveBesideARelay$$' -benchtime 1x -timeout 20m

##@ Check

.PHONY: ci
ci: ## run what CI runs
	.ci/run

.PHONY: lint
lint: ## run golangci-lint
	@if [[ "$$(golangci-lint version --short 2>/dev/null)" == "$(GOLANGCI_VERSION:v%=%)" ]]; then \
	  golangci-lint run ./...; \
	else \
	  $(MAKE) --no-print-directory .cache/bin/golangci-lint-$(GOLANGCI_VERSION); \
	  .cache/bin/golangci-lint-$(GOLANGCI_VERSION) run ./...; \
	fi

.PHONY: fmt
fmt: ## format the Go code
	@if [[ "$$(golangci-lint version --short 2>/dev/null)" == "$(GOLANGCI_VERSION:v%=%)" ]]; then \
	  golangci-lint fmt ./...; \
	else \
	  $(MAKE) --no-print-directory .cache/bin/golangci-lint-$(GOLANGCI_VERSION); \
	  .cache/bin/golangci-lint-$(GOLANGCI_VERSION) fmt ./...; \
	fi

# Outside go.mod: the linter's dependencies are not ours.
.cache/bin/golangci-lint-$(GOLANGCI_VERSION):
	GOFLAGS= GOBIN=$(CURDIR)/.cache/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv .cache/bin/golangci-lint $@

.PHONY: lint-template
# Python 3.13; the tools install themselves into the user's cache folder.
lint-template: ## check template.yaml: cfn-lint, sam validate, its expansion, checkov, sam build
	$(SAM_TOOL) cfn-lint -t template.yaml --regions us-east-1 eu-west-1
	$(SAM_TOOL) sam validate --lint --region us-east-1
	$(SAM_TOOL) python internal/testkit/resources/expand.py template.yaml | diff - $(EXPANDED) || { echo "run make expand-template"; exit 1; }
	go run ./test/pytool checkov checkov --config-file .checkov.yaml --file $(EXPANDED)
	$(SAM_TOOL) sam build --build-dir build/sam/$(LAMBDA_GOARCH)
	go run ./test/elfcheck build/sam

SAM_TOOL = go run ./test/pytool sam
EXPANDED = internal/testkit/resources/testdata/expanded.json

.PHONY: expand-template
expand-template: ## write what SAM makes of template.yaml again, for its tests
	$(SAM_TOOL) python internal/testkit/resources/expand.py template.yaml > $(EXPANDED)

.PHONY: vuln
vuln: .cache/bin/govulncheck-$(GOVULNCHECK_VERSION) ## look for known vulnerabilities; ends with 75 and SKIPPED where their database cannot be reached
	@.ci/vuln $<

.cache/bin/govulncheck-$(GOVULNCHECK_VERSION):
	GOFLAGS= GOBIN=$(CURDIR)/.cache/bin go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv .cache/bin/govulncheck $@

.PHONY: tidy-check
tidy-check: ## fail when go.mod or go.sum is not tidy
	go mod tidy -diff
	go -C bench/peers mod tidy -diff
	go -C test/orm mod tidy -diff

.PHONY: rds-roots
rds-roots: ## fetch the authorities of RDS from AWS again (the tests check them)
	curl -fsS https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem -o internal/boot/rds-roots.pem
	go test ./internal/boot -run AuthoritiesOfRDS -count=1

##@ Build

.PHONY: build
build: ## build the functions for arm64 and amd64 and check that they are static
	@for arch in $(ARCHS); do for function in $(FUNCTIONS); do \
	  echo "build/$$arch/$$function/bootstrap"; \
	  GOARCH=$$arch $(GO_BUILD) -o "build/$$arch/$$function/bootstrap" "./functions/$$function"; \
	done; done
	go build ./...
	go -C bench/peers vet ./...
	go -C test/orm vet ./...
	go run ./test/elfcheck build

# `sam build` calls build-<LogicalId>. LAMBDA_GOARCH follows the template's
# Architecture parameter: arm64, or amd64 for x86_64.
LAMBDA_GOARCH ?= arm64

.PHONY: build-RelayFunction build-RedriveFunction build-JanitorFunction
build-RelayFunction:
	GOARCH=$(LAMBDA_GOARCH) $(GO_BUILD) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/relay
build-RedriveFunction:
	GOARCH=$(LAMBDA_GOARCH) $(GO_BUILD) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/dlq-redrive
build-JanitorFunction:
	GOARCH=$(LAMBDA_GOARCH) $(GO_BUILD) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/janitor

.PHONY: reproducible
reproducible: ## build the functions twice, in two folders and without a cache, and compare
	@rm -rf build/twice; mkdir -p build/twice/copy; \
	git ls-files -z -co --exclude-standard | tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -xf - -C build/twice/copy; \
	for function in $(FUNCTIONS); do \
	  GOARCH=$(LAMBDA_GOARCH) $(GO_BUILD) -o "build/twice/$$function" "./functions/$$function"; \
	  (cd build/twice/copy && GOCACHE="$(CURDIR)/build/twice/cache" GOARCH=$(LAMBDA_GOARCH) $(GO_BUILD) -o "../$$function-again" "./functions/$$function"); \
	  sha256sum "build/twice/$$function"; \
	  cmp "build/twice/$$function" "build/twice/$$function-again"; \
	done; rm -rf build/twice

.PHONY: clean
clean: ## remove what was built here
	rm -rf build .aws-sam .cache

##@ Measure

.PHONY: bench
SET ?= standard
ONLY ?=
PROFILE ?=
bench: ## measure the relay end to end, with PostgreSQL and a stand-in broker; only the scenarios ONLY
	go run ./bench -set $(SET) -rounds $(or $(ROUNDS),1) -run '$(ONLY)' $(if $(PROFILE),-profile)

.PHONY: bench-sustain
LENGTH ?= 10m
BACKLOG ?= 1000000
bench-sustain: ## LENGTH at 5,000/s with a held snapshot and without, backlogs up to BACKLOG, 100 archived partitions
	go run ./bench -set sustain -run '$(ONLY)' -length $(LENGTH) -backlog $(BACKLOG)

.PHONY: bench-peers
bench-peers: ## other outboxes and ours in turns, ROUNDS times three minutes; only the scenarios ONLY
	go run ./bench -set peers -rounds $(or $(ROUNDS),1) -run '$(ONLY)'

.PHONY: bench-plots
RESULTS ?= $(lastword $(sort $(wildcard bench/results/*/results.json)))
bench-plots: ## draw RESULTS (default the newest results.json) as SVG beside it
	cd bench/plot && go run . $(abspath $(RESULTS))

.PHONY: bench-go
BENCHTIME ?= 1s
bench-go: ## run every Go benchmark, on a PostgreSQL that writes durably
	go run ./localstack/postgres -fsync -- go test -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem ./...

# All but the campaign of the janitor, which is a target of its own.
BENCHMARKS = $(filter-out %/internal/janitor,$(shell go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./pkg/... ./internal/... 2>/dev/null))
.PHONY: bench-once
bench-once: ## run each Go benchmark once, so that none rots
	go run ./localstack/postgres -- go test -run '^$$' -bench . -benchtime 1x $(BENCHMARKS)

##@ Run

.PHONY: demo
# The flags are those of the function, so that what both need is compiled once.
demo: ## show the outbox at work on this machine
	CGO_ENABLED=0 go run -trimpath ./localstack/demo

.PHONY: demo-kill
demo-kill: ## the demo, with relays killed while they work
	CGO_ENABLED=0 go run -trimpath ./localstack/demo -kill

.PHONY: postgres
postgres: ## run a PostgreSQL until interrupted and print its URL
	go run ./localstack/postgres

.PHONY: fake
fake: ## run the AWS fake until interrupted and print its URL
	go run ./localstack/awsfake

.PHONY: localstack-up
localstack-up: ## run LocalStack at 127.0.0.1:4566 until interrupted, without Docker
	go run ./localstack/localstack -port 4566

.PHONY: resources
ENDPOINT ?= http://127.0.0.1:4566
resources: ## create the topic and queues of template.yaml at ENDPOINT
	go run ./localstack/resources -endpoint $(ENDPOINT)

.PHONY: deploy-local
deploy-local: ## bring template.yaml up by the real sam on an emulator with PostgreSQL, use it, update it, remove it
	go run ./test/deploy

.PHONY: compose-up
compose-up: ## start PostgreSQL and LocalStack in Docker
	docker compose -f localstack/compose.yaml up --wait

.PHONY: compose-down
compose-down: ## stop them and forget their data
	docker compose -f localstack/compose.yaml down --volumes
