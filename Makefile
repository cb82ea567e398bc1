# The tools that lint and test need are installed by the scripts where they are missing.
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.PHONY: demo test test-setup lint lint-setup bench bench-cadence soak deb

# The whole story in under a minute, with simulated providers.
demo:
	cargo build --release
	cargo run --release --quiet -- demo

test: test-setup
	cargo test --doc --all-features
	cargo nextest run --all-features

test-setup:
	scripts/test-setup

# Advisories are not checked: their database is a git repository elsewhere, and a lint run
# should neither need it nor change its mind from one day to the next.
lint: lint-setup
	cargo fmt --check
	cargo clippy --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features
	cargo deny --all-features check licenses bans

lint-setup:
	scripts/lint-setup

# The Debian package, in target/debian.
deb:
	scripts/deb-setup
	scripts/deb

bench:
	scripts/bench

# Thousands of simulated histories, or as many as SOAK_SEEDS says, on all processors.
soak:
	scripts/soak

# How late completions are noticed, by polling policy: a simulation, the same in every run.
bench-cadence:
	cargo bench --locked --quiet --bench cadence
