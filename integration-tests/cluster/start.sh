# Sourced by up.sh and in.sh: starts the node launcher and waits for it.
# shellcheck shell=bash

# start_cluster api|node stay|leash: with `leash` the cluster ends when this process does, however it ends.
start_cluster() {
  [ "$(id -u)" = 0 ] || die "the node launcher makes namespaces: it needs root (or set KUBECONFIG, or start Docker)"
  ! is_up || die "cluster $CLUSTER is up already ($HERE/down.sh ends it)"
  "$HERE/packages.sh"
  "$HERE/down.sh" --dead
  "$HERE/build.sh" >/dev/null
  "$HERE/images.sh" >/dev/null
  local began=$EPOCHREALTIME leash=()
  [ "$2" = stay ] || leash=(setpriv --pdeathsig KILL)
  mkdir -p "$LOGS"
  all_key >"$STATE/key"
  # The whole cluster is one tree of processes: when unshare ends, by whatever signal, all of it does.
  setsid "${leash[@]}" unshare --net --mount --ipc --pid --fork --kill-child --mount-proc --propagation private \
    "$HERE/node/init.sh" "$1" "$STATE" >"$LOGS/init.log" 2>&1 </dev/null 9>&- &
  echo $! >"$STATE/pid"
  disown # Its end is no news of this shell's.
  while [ ! -e "$STATE/ready" ]; do
    if ! kill -0 "$(<"$STATE/pid")" 2>/dev/null || [ -e "$STATE/failed" ]; then
      cat "$STATE/failed" "$LOGS/init.log" >&2 || true
      die "cluster $CLUSTER did not start: logs are in $LOGS"
    fi
    sleep 0.05
  done
  say "$CLUSTER is ready after $(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s"
}

# Prints the path of the cluster's network namespace.
network_namespace() { echo "/proc/$(<"$STATE/pid")/ns/net"; }
