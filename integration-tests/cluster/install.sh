#!/bin/bash
# Installs Signalbox into the cluster of $KUBECONFIG, with images that load.sh has loaded.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
"$HERE/crds.sh" apply

# As a user would, with the images that the test cluster was given and what the caller adds (--set replicas=1 …).
helm upgrade --install signalbox "$ROOT/deploy/helm/signalbox" --namespace signalbox-system --create-namespace \
  --set image.repository=localhost/signalbox/control-plane,picker.image.repository=localhost/signalbox/picker \
  --set envoy.image="localhost/signalbox/envoy:$(sed -nE 's/^version = "(.*)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)" \
  --wait --timeout 120s "$@" >&2
