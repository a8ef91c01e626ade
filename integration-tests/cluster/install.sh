#!/bin/bash
# Installs Signalbox into the cluster of $KUBECONFIG, with images that load.sh has loaded.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
"$HERE/crds.sh" apply

# The one line that says how the product is installed.
install() { find "$ROOT/deploy" -maxdepth 2 -path '*/cluster/*.yaml' -print0 | sort -z | xargs -0 -r -n1 kubectl apply --server-side -f; }

install >&2
