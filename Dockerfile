# The image: the static binary, CA certificates and nsswitch.conf, and nothing else.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg GIT_SHA="$(git rev-parse --short=12 HEAD)" \
#       --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" -t REGISTRY/azure-kms-provider:v0.1.0 --push .
#
# podman and buildah of Debian 12 take the image's platform for the builder's, unless they are told it:
# --build-arg BUILDPLATFORM=linux/amd64

# The build runs on the builder's own platform, and compiles for the image's.
FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95.0-bookworm AS build
ARG TARGETARCH
WORKDIR /src

# before the sources, as they change more often: Rust's library for the target, and where that is another platform than
# the builder's, its C compiler and static libc
RUN set -eu; \
    case "$TARGETARCH" in \
        amd64) cpu=x86_64 package=x86-64 ;; \
        arm64) cpu=aarch64 package=aarch64 ;; \
        *) echo "no such platform: $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    if [ "$(dpkg --print-architecture)" != "$TARGETARCH" ]; then \
        apt-get update -qq; \
        apt-get install -qq -y --no-install-recommends "gcc-$package-linux-gnu" "libc6-dev-$TARGETARCH-cross"; \
    fi; \
    rustup target add "$cpu-unknown-linux-gnu"; \
    echo "$cpu" > /cpu

COPY . .
ARG GIT_SHA=unknown
ARG SOURCE_DATE_EPOCH=0
# Of the builds before, only the downloads are kept. What cargo compiled is not: it tells old from new by the files'
# times, which a checkout of an older commit does not set back.
RUN --mount=type=cache,target=/usr/local/cargo/registry set -eu; \
    cpu="$(cat /cpu)"; target="$cpu-unknown-linux-gnu"; \
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc; \
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc; \
    RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --locked --profile dist --target "$target" --bin azure-kms-provider; \
    install -D -m 0755 "target/$target/dist/azure-kms-provider" /image/azure-kms-provider; \
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt; \
    install -D -m 0644 packaging/nsswitch.conf /image/etc/nsswitch.conf; \
    mkdir -p /image/etc/kubernetes /image/opt; \
    find /image -exec touch --date="@$SOURCE_DATE_EPOCH" {} +

FROM scratch
COPY --from=build /image/ /
# root, to read azure.json; the manifest takes root's capabilities away
USER 0
ENTRYPOINT ["/azure-kms-provider"]
ARG GIT_SHA=unknown
LABEL org.opencontainers.image.title="azure-kms-provider" \
      org.opencontainers.image.description="A KMS plugin that lets kube-apiserver encrypt etcd with a key in Azure Key Vault" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$GIT_SHA"
