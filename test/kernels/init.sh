#!/bin/busybox sh
# shellcheck shell=dash
# The guest's first program, out of the initramfs: loads the modules it was given, and goes over to the disk.
set -e
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
for module in /modules/*.ko; do /bin/busybox insmod "$module"; done
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount --move /dev /root/dev
/bin/busybox mount --move /sys /root/sys
/bin/busybox mount --move /proc /root/proc
exec /bin/busybox switch_root /root /guest/session.sh
