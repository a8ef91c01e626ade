#!/bin/bash
# Makes Signalbox's images from binaries, without a container engine: OCI archives in target/images.
#
#   build.sh [NAME…]     control-plane, picker, envoy, model-server; all by default. Prints the archives' paths.
#
#   PROFILE   the Cargo profile whose binaries are taken (default: debug, what `cargo build` makes)
#   TARGET    a Rust target, for example x86_64-unknown-linux-musl for static binaries
#   REGISTRY  the names' first part (default: localhost/signalbox); TAG: the version (default: Cargo.toml's)
#
# It builds nothing itself: `cargo build` and integration-tests/envoy.sh come first (`make images` runs them).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
: "${PROFILE:=debug}" "${TARGET:=}" "${REGISTRY:=localhost/signalbox}"
: "${TAG:=$(sed -nE 's/^version = "(.*)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)}"
: "${CARGO_TARGET_DIR:=$ROOT/target}"
BINARIES=$CARGO_TARGET_DIR${TARGET:+/$TARGET}/$PROFILE
OUT=$CARGO_TARGET_DIR/images
[ $# -gt 0 ] || set -- control-plane picker envoy model-server

for name in "$@"; do
  case $name in
    control-plane) from=$BINARIES/signalbox program=/signalbox ;;
    picker) from=$BINARIES/signalbox-picker program=/signalbox-picker ;;
    model-server) from=$BINARIES/model-server program=/model-server ;;
    envoy) from=${ENVOY_BIN:-$("$ROOT/integration-tests/envoy.sh" --path)} program=/envoy ;;
    *) echo "build.sh: no image is called $name" >&2; exit 2 ;;
  esac
  [ -x "$from" ] || { echo "build.sh: $from is not there: run \`make images\`, which builds it" >&2; exit 1; }
  archive=$OUT/$name.tar
  # An archive that is newer than all it is made of stays.
  if [ ! "$archive" -nt "$from" ] || [ ! "$archive" -nt "$HERE/image.py" ] || [ "$(cat "$archive.name" 2>/dev/null)" != "$REGISTRY/$name:$TAG" ]; then
    "$HERE/image.py" "$archive" --name "$REGISTRY/$name:$TAG" --entrypoint "$program" --strip \
      --label org.opencontainers.image.title="signalbox $name" --label org.opencontainers.image.version="$TAG" \
      --label org.opencontainers.image.licenses=Apache-2.0 "$from=$program"
    echo "$REGISTRY/$name:$TAG" >"$archive.name"
  fi
  echo "$archive"
done
