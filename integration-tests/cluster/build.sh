#!/bin/bash
# Builds the cluster's binaries from Go modules, whose versions and sums modules/*/go.{mod,sum} pin.
#
#   build.sh [MODULE…]   builds the modules, all by default; prints the directory of the binaries
#
# About 20 CPU-minutes with nothing cached, seconds afterwards. Two runs do not build the same thing twice.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
command -v go >/dev/null || die "Go is missing: it is needed for the cluster tests only (Debian: golang-go; or go.dev/dl)"

. "$HERE/recipes.sh"

mkdir -p "$CACHE/modules"
[ $# -gt 0 ] || set -- "${MODULES[@]}"
bin=$CACHE/$(all_key)/bin
mkdir -p "$bin"
for module in "$@"; do
  built=$CACHE/modules/$module-$(module_key "$module")
  if [ ! -d "$built" ]; then
    exec 9>"$CACHE/modules/.$module.lock"
    flock -n 9 || { say "waiting for another build of $module"; flock 9; }
  fi
  if [ ! -d "$built" ]; then
    say "building $module"
    work=$(mktemp -d "$CACHE/modules/.building.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    (build_module "$module" "$work")
    chmod 755 "$work"
    mv -T "$work" "$built" # It appears whole, or not at all.
  fi
  exec 9>&-
  # Links that replace what is there in one step.
  find "$built" -type f -printf '%P\n' | while read -r file; do
    mkdir -p "$(dirname "$bin/$file")"
    [ "$built/$file" -ef "$bin/$file" ] || { ln -f "$built/$file" "$bin/$file.$$" && mv -fT "$bin/$file.$$" "$bin/$file"; }
  done
done
echo "$bin"
