#!/bin/sh
# The first process of the guest: prepares what programs expect, runs its script, switches off.
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin:/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
ln -s /proc/self/fd /dev/fd
ln -s /dev/fd/0 /dev/stdin # nft -f - opens it
mkdir -p /dev/net /run/netns
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
hostname guest
echo "guest" >/etc/hostname
ulimit -n 4096
sh /root/script.sh 2>&1
echo "@@ guest end 1"
sync
poweroff -f
