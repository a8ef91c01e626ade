# Sourced by init.sh: starts daemons and waits for them.
# shellcheck shell=bash
declare -A DAEMONS=()

# start NAME COMMAND…: runs in the background; its output is a log of its own.
start() {
  local name=$1
  shift
  "$@" >"$LOGS/$name.log" 2>&1 </dev/null &
  DAEMONS[$!]=$name
  eval "PID_${name//-/_}=$!"
}

alive() { local pid="PID_${1//-/_}"; kill -0 "${!pid}" 2>/dev/null; }

# wait_for NAME SECONDS COMMAND…: until the command succeeds; fails when the daemon ends or the time is over.
wait_for() {
  local name=$1 attempts=$(($2 * 20))
  shift 2
  for ((; attempts > 0; attempts--)); do
    "$@" >/dev/null 2>&1 && return 0
    alive "$name" || fail "$name ended"$'\n'"$(tail -n 20 "$LOGS/$name.log")"
    sleep 0.05
  done
  fail "$name is not ready"$'\n'"$(tail -n 20 "$LOGS/$name.log")"
}

fail() { printf '%s\n' "$*" >"$STATE/failed"; exit 1; }

BEGAN=$EPOCHREALTIME
progress() { awk -v a="$BEGAN" -v b="$EPOCHREALTIME" -v text="$*" 'BEGIN { printf "%5.1f s  %s\n", b - a, text }' >>"$LOGS/progress.log"; }
