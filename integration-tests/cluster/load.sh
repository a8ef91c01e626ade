#!/bin/bash
# Loads images into the test cluster of the environment, as in.sh has set it.
#
#   load.sh ARCHIVE.tar…
set -euo pipefail
. "$(dirname "$0")/settings.sh"
for archive in "$@"; do
  case ${SIGNALBOX_CLUSTER:-node} in
    # What ctr says of the host's cgroups is no news of the image's.
    node) ctr -a "$STATE/containerd.sock" -n k8s.io images import "$archive" 2> >(grep -v DEPRECATION >&2) >/dev/null ;;
    kind) kind load image-archive --name "signalbox-$CLUSTER" "$archive" ;;
    given) die "images cannot be loaded into a cluster that was given: push $archive to a registry that it pulls from" ;;
  esac
done
