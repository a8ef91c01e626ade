#!/bin/bash
# Installs Signalbox into the cluster of $KUBECONFIG as a user would, from images that load.sh has loaded.
#
#   install.sh [HELM FLAG…]     for example: install.sh --set replicas=1
#
#   REGISTRY   the images' first part (default: localhost/signalbox)
set -euo pipefail
. "$(dirname "$0")/settings.sh"
: "${REGISTRY:=localhost/signalbox}"
"$HERE/crds.sh" apply

version=$(sed -nE 's/^version = "(.*)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)
# A tag that stays while its image changes starts nothing anew: the annotation does.
image=$(sha256sum "$ROOT/target/images/control-plane.tar" 2>/dev/null | cut -c1-16 || true)
helm upgrade --install signalbox "$ROOT/deploy/helm/signalbox" --namespace signalbox-system --create-namespace \
  --set image.repository="$REGISTRY/control-plane",picker.image.repository="$REGISTRY/picker" \
  --set envoy.image="$REGISTRY/envoy:$version" --set-string podAnnotations.image="$image" \
  --wait --timeout 120s "$@" >&2
