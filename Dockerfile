# The same image as `cargo xtask image`, for who builds with a container engine:
#   docker build --build-arg VERSION=0.1.0 -t sockeye:0.1.0 .
# What is in it is chosen in xtask/src/image.rs; a test compares the last stage with xtask/src/image/config.rs.

FROM rust:1.95-bookworm AS build
WORKDIR /sockeye
COPY . .
RUN cargo xtask image --rootfs /rootfs

FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="sockeye" \
      org.opencontainers.image.description="What the Linux TCP stack does to every pod" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0 AND (GPL-2.0-only OR MIT)" \
      org.opencontainers.image.source="https://example.invalid/sockeye"
COPY --from=build /rootfs/ /
ENV PATH=/usr/bin
# Root, by number (there is no /etc/passwd): Kubernetes gives added capabilities to no other user.
USER 0:0
ENTRYPOINT ["/usr/bin/sockeye"]
