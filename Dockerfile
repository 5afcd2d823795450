# syntax=docker/dockerfile:1

# One image with three programs: ingest, process, windrow.
#   docker build -t windrow --build-arg VERSION=1.2.3 --build-arg COMMIT=$(git rev-parse HEAD) .
#   docker run --rm windrow process -h

ARG GO_VERSION=1.26

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY cmd cmd
COPY internal internal
COPY pkg pkg
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X github.com/windrow-io/windrow/internal/ops.Version=$VERSION" \
      -o /out/ ./cmd/ingest ./cmd/process ./cmd/windrow

FROM gcr.io/distroless/static:nonroot
ARG VERSION=dev
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Windrow" \
      org.opencontainers.image.description="Turns Kafka topics into windows, exactly once" \
      org.opencontainers.image.source="https://github.com/windrow-io/windrow" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
COPY --from=build /out/ /usr/local/bin/
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 8080
CMD ["/usr/local/bin/windrow", "-h"]
