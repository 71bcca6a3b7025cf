# Every chore has one target here; CI calls the same ones. `make` lists them.

PYTHON ?= python3
export CARGO_TERM_COLOR ?= auto

.PHONY: help demo test test-core test-rust test-e2e test-lost test-package deb deb-reproduce lint advisories fmt reference copyright bench bench-decide bench-proxy bench-workers bench-rendezvous build clean

help:  ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

demo:  ## Run the gateway before a real Synapse and show what goes through (ONCE=1: stop after the proof)
	@ONCE=$(ONCE) tests/demo/run.sh

test: test-rust test-e2e  ## Set up and run every test: core, loopback, real Synapse, real clients, real browser

test-core:  ## The core alone, in seconds
	cargo test --locked --no-default-features --lib --test golden

test-rust:
	@tests/install-deps.sh build redis
	cargo test --locked --no-default-features --lib --test golden
	cargo test --locked

test-e2e:
	@tests/install-deps.sh build
	cargo build --locked --release
	tests/e2e/run.sh

test-lost: build  ## Which requests are lost while each process of Synapse is killed and restarted under load
	tests/e2e/run.sh --deployment workers test_lost.py

test-package: deb  ## The package in a Debian that systemd runs: install, reload, renew, restart, upgrade, purge (as root)
	tests/package/run.sh

deb:  ## The Debian package, checked by lintian, in target/deb
	@tests/install-deps.sh build deb
	packaging/build-deb.sh

deb-reproduce:  ## Build the package twice in two places, and compare (a quarter of an hour)
	@tests/install-deps.sh build deb
	packaging/reproduce.sh

lint:  ## Formatting, lints, licences and sources; documentation that has gone stale
	@tests/install-deps.sh build lint
	@command -v cargo-deny >/dev/null || { echo "Installing cargo-deny (a few minutes)"; cargo install --quiet --locked cargo-deny; }
	cargo fmt --check
	RUSTFLAGS="-D warnings" cargo clippy --locked --all-targets
	RUSTFLAGS="-D warnings" cargo clippy --locked --no-default-features --lib
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items --quiet
	cargo deny check bans licenses sources
	packaging/copyright.py --check
	shellcheck packaging/*.sh packaging/*/synapse-gateway.post* packaging/debian/tests/smoke packaging/certbot/* packaging/needrestart/* tests/*.sh tests/*/*.sh

advisories:  ## Known vulnerabilities of what is linked in; needs the advisory database
	cargo deny check advisories

fmt:  ## Format the code
	cargo fmt

reference:  ## Regenerate conf/reference.yaml and the other goldens
	BLESS=1 cargo test --locked --no-default-features --test golden

copyright:  ## Regenerate the package's list of licences; after a change of Cargo.lock
	packaging/copyright.py

bench: bench-decide bench-proxy bench-workers bench-rendezvous  ## All of the following; BENCH_ARGS="--quick" shows that they work

bench-decide:  ## How long a decision takes
	@tests/install-deps.sh build
	cargo bench --locked --no-default-features --bench decide

bench-proxy: build  ## CPU for each request beside nginx, HAProxy and Caddy, in one interleaved run
	$(PYTHON) tests/bench/run.py $(BENCH_ARGS)

bench-workers: build  ## CPU for each request before a Synapse with workers, beside nginx with the manual's patterns
	$(PYTHON) tests/bench/workers.py $(BENCH_ARGS)

bench-rendezvous: build  ## Rendezvous sessions beside Synapse's own and its former module, in one interleaved run
	$(PYTHON) tests/bench/rendezvous.py $(BENCH_ARGS)

build:  ## The release binary
	@tests/install-deps.sh build
	cargo build --locked --release

clean:  ## Remove what was built
	cargo clean
