# Sourced by init.sh: what the daemons would change on the machine is covered in this mount namespace.
# shellcheck shell=bash

# Sockets, network namespaces and state that are at fixed places.
for dir in /run /var/log /var/lib/cni /var/lib/kubelet /opt/containerd; do
  # A directory that is not there cannot be covered: the nearest one above is, by a copy of its entries as links.
  [ -d "$dir" ] || continue
  mount -t tmpfs -o mode=755 tmpfs "$dir"
done
mkdir -p /run/netns /run/lock

# The kubelet sets these for the whole machine. It is content with files that say what it wants.
while read -r setting value; do
  [ -e "/proc/sys/$setting" ] || continue
  file=$STATE/sysctl/${setting//\//.}
  mkdir -p "$STATE/sysctl"
  echo "$value" >"$file"
  mount --bind "$file" "/proc/sys/$setting"
done <<'S'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
S
