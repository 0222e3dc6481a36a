#!/bin/bash
# systemd-boot.sh DIR INSTALLED: in fresh namespaces (mount, pid, cgroup, ipc, uts, net), become systemd of a host that
# looks like this one with INSTALLED over it. Nothing that it writes reaches this host; only the journal and dbus run.
set -euo pipefail
directory=$1 installed=$2
root=$directory/root

mount --make-rprivate /
mkdir -p "$directory/layers" "$root"
mount -t tmpfs tmpfs "$directory/layers"
mkdir "$directory/layers/"{upper,work}
mount -t overlay -o "lowerdir=/,upperdir=$directory/layers/upper,workdir=$directory/layers/work" overlay "$root"
cp -a "$installed/." "$root/"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/"{unified,systemd}
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
fi
for place in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$place"; done
chmod 1777 "$root/tmp"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"

rm -rf "$root"/etc/systemd/system/* "$root/var/log/journal"
for target in sysinit basic; do
    printf '[Unit]\nDefaultDependencies=no\n' >"$root/etc/systemd/system/$target.target"
done
printf '[Unit]\nRequires=systemd-journald.service dbus.service\n' >"$root/etc/systemd/system/test.target"

cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i container=other PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --system --unit=test.target \
    --log-target=journal --show-status=no
