# What a contributor runs. `.ci/run` runs the same recipes: `just ci`.

set shell := ["bash", "-euo", "pipefail", "-c"]

# the C compilers of Debian; the image is built so too
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER := "aarch64-linux-gnu-gcc"

# All of it, in the order in which it fails soonest
ci: fmt deny lint test alerts doc interop completions quickstart

# Is everything formatted?
fmt:
    cargo fmt --all --check

# Warnings are errors: as users build it, and with everything that tests switch on
lint:
    cargo clippy --workspace --bins -- -D warnings
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Licences, duplicates and sources of what is linked. Needs cargo-deny
deny:
    cargo deny --locked check bans licenses sources

# Known vulnerabilities, and yanked versions. Needs cargo-deny, and GitHub for RustSec's database
advisories:
    cargo deny --locked check advisories

# All Rust tests, as in the README
test:
    cargo test --workspace

# Prometheus' own view of the alert rules and the dashboard. Needs promtool and jq
alerts:
    tests/prometheus/run

# The documentation of the code, private items included
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# The main job on the embedded emulator, as in the README
quickstart:
    cargo run -p quickstart --features fault-injection

# The daemon as users get it, without fault injection, against code that is not ours
interop: build interop-python interop-grpc-go interop-kubernetes

# What takes long, before a change of what it proves: older releases of Kubernetes, long outages, docs/install.md
interop-long: build interop-python
    INTEROP_LONG=1 interop/kubernetes/run
    interop/install/run

# The programs that the interop suites start
build:
    cargo build --workspace --bins

# grpcio, Azure's Python SDK, and the Go plugin's formats
interop-python:
    interop/python/run

# grpc-go with kube-apiserver's dial options
interop-grpc-go:
    interop/grpc-go/run

# kube-apiserver's own libraries, of the newest release
interop-kubernetes:
    interop/kubernetes/run

# docs/install.md as a new user follows it, on a real kube-apiserver
interop-install:
    interop/install/run

# The static pod under a real kubelet, with containerd and runc. Needs root, runc, and the archive that `image` makes
interop-kubelet: build
    interop/kubelet/run

# Completions in the real shells, and the manual pages. Needs zsh, fish and mandoc
completions: build
    packaging/prove-completions target/debug/azure-kms-provider

# Runs all interop suites, long outages included, and writes their tables into docs/. Needs what interop-kubelet needs
interop-docs: build
    interop/docs

# The binary as it is shipped: static, in target/TARGET/dist/. For another machine: rustup target add, and its C compiler
static target="x86_64-unknown-linux-gnu":
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile dist --target {{target}} --bin azure-kms-provider

# The bill of materials of that binary, as CycloneDX. Needs jq
sbom target="x86_64-unknown-linux-gnu":
    packaging/sbom {{target}} > target/sbom-{{target}}.json

# That binary in an empty root file system, without capabilities. Needs root, iproute2 and capsh
empty-root: static build
    packaging/prove-empty-root target/x86_64-unknown-linux-gnu/dist/azure-kms-provider target/debug/akv-emulator target/debug/kms-round-trip

# Docker before 23, such as Debian 12's, uses BuildKit only where it is told to.

# The image, checked and run as `empty-root` does. Needs docker or podman, jq, and what empty-root needs; for arm64 QEMU too
image engine="docker" arch="amd64" *options: build
    packaging/prove-image check
    DOCKER_BUILDKIT=1 {{engine}} build --platform linux/{{arch}} --build-arg GIT_SHA="$(git rev-parse --short=12 HEAD)" --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" -t azure-kms-provider:{{arch}} {{options}} .
    {{engine}} save azure-kms-provider:{{arch}} > target/image-{{arch}}.tar
    packaging/prove-image target/image-{{arch}}.tar target/debug/akv-emulator target/debug/kms-round-trip

# What docs/benchmarks.md reports
bench:
    cargo bench --bench request_path --bench memory --bench restart

# Fuzzes one target, or all, for so many seconds each; needs nightly and cargo-fuzz
fuzz target="all" seconds="60":
    fuzz/run {{target}} {{seconds}}

# Rewrites the parts of docs/ that are generated, and the command lines in tests/cli
docs:
    UPDATE_DOCS=1 cargo test --test daemon document
    TRYCMD=overwrite cargo test --test cli
