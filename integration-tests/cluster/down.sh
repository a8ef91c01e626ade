#!/bin/bash
# Ends the node launcher's cluster and removes what it wrote.
#
#   down.sh          the cluster $CLUSTER (`default` when not set)
#   down.sh --dead   all clusters whose processes are gone already
set -euo pipefail
. "$(dirname "$0")/settings.sh"

remove_cgroups() { # NAME
  local attempts dir
  for ((attempts = 100; attempts > 0; attempts--)); do
    for dir in /sys/fs/cgroup/signalbox-"$1" /sys/fs/cgroup/*/signalbox-"$1"; do
      [ ! -d "$dir" ] || find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    compgen -G "/sys/fs/cgroup/signalbox-$1" >/dev/null || compgen -G "/sys/fs/cgroup/*/signalbox-$1" >/dev/null || return 0
    sleep 0.05
  done
  say "cgroups of $1 are still in use"
}

# What was started in a cluster's network is in no namespace of processes that would end with it.
end_guests() { # NETWORK NAMESPACE, as /proc names it
  local link pid
  [ -n "$1" ] && [ "$1" != "$(readlink /proc/self/ns/net)" ] || return 0
  for link in /proc/[0-9]*/ns/net; do
    pid=${link#/proc/} pid=${pid%%/*}
    [ "$(readlink "$link" 2>/dev/null)" != "$1" ] || kill "$pid" 2>/dev/null || true
  done
}

remove() { # STATE
  local pid network
  if is_up "$1"; then
    pid=$(<"$1/pid")
    network=$(readlink "/proc/$pid/ns/net" || true)
    kill -KILL "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
    end_guests "$network"
  fi
  remove_cgroups "$(basename "$1")"
  rm -rf --one-file-system "$1"
}

if [ "${1:-}" != --dead ]; then
  [ -d "$STATE" ] || exit 0
  remove "$STATE"
  exit 0
fi
for state in "$CACHE"/run/*/; do
  state=${state%/}
  # One that is being started has no process yet.
  [ ! -f "$state/pid" ] || is_up "$state" || remove "$state"
done
