#!/bin/bash
# namespace.sh NAME COMMAND: inside fresh mount and pid namespaces, prepare the file system of a service and
# become COMMAND NAME in it.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name=$1 command=$2
root=$(root_of "$name")
mount --make-rprivate /
if [ -n "$root" ]; then
    mount --bind "$root" "$root" # HTCondor unshares mounts: its root must be a mount point
    for directory in share certs; do mount --bind "$GRID/$directory" "$root$GRID/$directory"; done
else
    mount --bind "$GRID/certs/vomsdir" /etc/grid-security/vomsdir # A-REX 6.17 looks nowhere else
fi
mount -t proc proc "$root/proc"
case $name in ce*) mount --bind "$root$GRID/bin/scan-fork-job" "$root/usr/share/arc/scan-fork-job";; esac
cd /
exec chroot "${root:-/}" "$command" "$name"
