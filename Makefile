# Signalbox. `make demo` runs the product on this machine, `make test` passes its tests.
# Both install what they need: Envoy goes into a user cache, everything else is built by cargo.
.DEFAULT_GOAL := help
CARGO ?= cargo
export ENVOY_BIN ?= $(shell integration-tests/envoy.sh --path)

.PHONY: help
help: ## This list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: envoy
envoy: ## Finds Envoy, or installs it into the user cache.
	@integration-tests/envoy.sh

.PHONY: build
build: ## Builds all binaries.
	$(CARGO) build --workspace --bins

.PHONY: demo
demo: envoy build ## The guide on this machine: two simulated models behind one address.
	@target/debug/demo

.PHONY: test
test: envoy build ## All tests: on a real Envoy, with simulated model servers.
	$(CARGO) test --workspace

.PHONY: images
images: envoy build ## Container images as OCI archives in target/images, made without a container engine.
	@deploy/images/build.sh

.PHONY: cluster
cluster: ## A Kubernetes cluster on this machine, without a container engine. Needs Go and root.
	@integration-tests/cluster/up.sh

.PHONY: cluster-down
cluster-down: ## Ends it.
	@integration-tests/cluster/down.sh

.PHONY: cluster-demo
cluster-demo: images ## The guide on a test cluster, with simulated model servers as Pods.
	@integration-tests/cluster/demo.sh

.PHONY: conformance
conformance: images ## The Gateway API conformance suite: PROFILES=GATEWAY-HTTP,GATEWAY-GRPC SUITE=gateway-api|inference
	@integration-tests/conformance/run.sh $(or $(SUITE),gateway-api) $(FLAGS)

.PHONY: bench
bench: ## Criterion benches beside the code.
	$(CARGO) bench --workspace

.PHONY: figures
figures: envoy ## Measures the product; writes integration-tests/RESULTS.md.
	$(CARGO) build --release --workspace --bins
	@target/release/figures

.PHONY: lint
lint: ## Format, clippy, docs; licences and bans where cargo-deny is installed.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --workspace --no-deps
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: licences not checked"; fi
