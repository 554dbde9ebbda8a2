# The build needs a C compiler for SQLite and ring; the image that runs has neither it nor a shell.
FROM rust:1.95.0-slim-bookworm AS build
# The base image is pinned, and Debian keeps no older versions to pin to.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY .cargo .cargo
COPY src src
COPY samples samples
RUN cargo build --release --locked --bin relay \
    && mkdir -p /out/data \
    && cp target/release/relay /out/relay

# glibc, the system's certificate authorities and a user without rights: all that the binary asks for.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/relay /usr/local/bin/relay
COPY --from=build --chown=nonroot:nonroot /out/data /data
COPY relay.toml /etc/relay/relay.toml
# From outside the container only what listens on every address is reached. The admin port stays on the
# container's own loopback until it is given a token.
ENV RELAY_SERVER__LISTEN=0.0.0.0:8080 \
    RELAY_STORE__URL=sqlite:/data/relay.db
# nonroot, by number: whoever runs it can see that it is not root.
USER 65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
# Longer than server.shutdown_grace is up to whoever stops the container: docker stop --time 30.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=5s CMD ["/usr/local/bin/relay", "health", "--config", "/etc/relay/relay.toml"]
ENTRYPOINT ["/usr/local/bin/relay"]
CMD ["serve", "--config", "/etc/relay/relay.toml"]
