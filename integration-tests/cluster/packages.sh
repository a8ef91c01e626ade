#!/bin/bash
# Installs the Debian packages that the node launcher needs, where they are missing.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

missing=()
need() { "${@:2}" >/dev/null 2>&1 || missing+=("$1"); }
need gcc command -v gcc
need libseccomp-dev test -e /usr/include/seccomp.h
need pkg-config command -v pkg-config
need nftables command -v nft
need iptables command -v iptables
need conntrack command -v conntrack
need iproute2 command -v ip
need openssl command -v openssl
need util-linux command -v nsenter
need python3 command -v python3
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  die "missing packages (Debian's names): ${missing[*]}"
fi
say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
  { apt-get update -qq && apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
  die "apt-get could not install ${missing[*]}"
