# Sourced by init.sh: what the daemons would change on the machine is covered in this mount namespace.
# shellcheck shell=bash

# Sockets, network namespaces and logs at fixed places. -n: mount itself keeps a record in /run.
for dir in /run /var/log; do mount -n -t tmpfs -o mode=755 tmpfs "$dir"; done
mkdir -p /run/netns /run/lock

# State at fixed places, whose directories the daemons make.
case $STATE in
  /var/lib/*) ;; # What is ours has to stay what it is.
  *)
    mkdir -p "$STATE/var-lib/upper" "$STATE/var-lib/work"
    mount -n -t overlay -o "lowerdir=/var/lib,upperdir=$STATE/var-lib/upper,workdir=$STATE/var-lib/work" overlay /var/lib
    ;;
esac

# The kubelet sets these for the whole machine. It is content with files that say what it wants.
mkdir -p "$STATE/sysctl"
while read -r setting value; do
  [ -e "/proc/sys/$setting" ] || continue
  file=$STATE/sysctl/${setting//\//.}
  echo "$value" >"$file"
  mount -n --bind "$file" "/proc/sys/$setting"
done <<'S'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
S
