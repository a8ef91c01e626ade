#!/bin/bash
# Makes the images of the cluster itself: Pods' pause, CoreDNS, and the backend of the conformance suite under the names
# that its manifests use. Prints their directory.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

bin=$CACHE/$(all_key)/bin
images=$CACHE/$(all_key)/images
image=$ROOT/deploy/images/image.py
[ ! -d "$images" ] || { echo "$images"; exit 0; }
work=$(mktemp -d "$CACHE/.images.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Prints `--name NAME` for each image of the suite's manifests that matches.
names_of_suite() {
  local suite
  suite=$(cd "$CONFORMANCE/gateway-api" && go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api/conformance)
  grep -rhoE 'image: *[^ ]+' "$suite/base" "$suite/tests" | awk '{print $2}' | tr -d '"' | grep -- "$1" | sort -u | sed 's/^/--name /'
}

"$image" "$work/pause.tar" --name localhost/pause:1 --entrypoint /pause "$bin/pause=/pause"
# As root, as their manifests have it: capabilities are what they drop. Word splitting is wanted.
# shellcheck disable=SC2046
"$image" "$work/echo-basic.tar" $(names_of_suite echo-basic) --user 0 --entrypoint /echo-basic "$bin/echo-basic=/echo-basic"
# shellcheck disable=SC2046
"$image" "$work/coredns.tar" --name localhost/coredns:1 $(names_of_suite coredns) --user 0 --entrypoint /coredns "$bin/coredns=/coredns"
chmod 755 "$work"
mv -T "$work" "$images" 2>/dev/null || [ -d "$images" ]
echo "$images"
