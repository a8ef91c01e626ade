#!/bin/bash
# Writes the Helm chart with its default values to signalbox.yaml; `--check` says whether that is what stands there.
set -euo pipefail
cd "$(dirname "$0")"
rendered() {
  # What Helm says of itself is not true of objects that it did not install.
  helm template signalbox ../helm/signalbox --namespace signalbox-system |
    sed -e '/^    *app.kubernetes.io\/managed-by: Helm$/d' -e '/^    *helm.sh\/chart: /d'
}
case ${1:-} in
  --check) diff signalbox.yaml <(rendered) ;;
  '') rendered >signalbox.yaml ;;
  *) sed -n '2p' "$0"; exit 2 ;;
esac
