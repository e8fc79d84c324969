# A static binary, alone in its image, as nobody in particular.
#   docker build -t discuno .
#   docker run --env-file discuno.env -v discuno:/data -p 127.0.0.1:8480:8480 discuno
FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends musl-tools \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# `--build-arg FEATURES=otlp` for traces.
ARG FEATURES=
RUN target="$(uname -m)-unknown-linux-musl" \
 && rustup target add "$target" \
 && cargo build --release --locked --bin discuno --features "$FEATURES" --target "$target" \
 && install -D "target/$target/release/discuno" /image/discuno \
 && install -D /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
 && install -d -o 65532 -g 65532 -m 0700 /image/data

FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV DISCUNO_DB=/data/discuno.db DISCUNO_LISTEN=0.0.0.0:8480
EXPOSE 8480
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["/discuno", "check", "--probe"]
ENTRYPOINT ["/discuno"]
CMD ["serve", "--worker"]
