#!/bin/busybox sh
# shellcheck shell=dash
# The guest's process 1 on its disk: what an init would have mounted, cgroups in the version that the kernel's command line asks for, then one
# command after the other from the host, over a virtio port: a line of base64 in, a line "STATUS BYTES" and the output out.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
mkdir -p /dev/shm /dev/pts /dev/mqueue
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t mqueue mqueue /dev/mqueue
ln -sf /proc/self/fd /dev/fd
busybox ip link set lo up
busybox hostname guest

case $(cat /proc/cmdline) in
*tbuild.cgroups=v1*)
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    for controllers in cpuset cpu,cpuacct blkio memory devices freezer net_cls,net_prio perf_event hugetlb pids rdma; do
        mkdir "/sys/fs/cgroup/$controllers"
        mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers"
    done
    ;;
*)
    # As after a login: with everything delegated by the levels above, which have no processes of their own.
    mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
    sed 's/\(^\| \)/ +/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
    mkdir /sys/fs/cgroup/session
    echo 0 >/sys/fs/cgroup/session/cgroup.procs
    ;;
esac

for port in /dev/vport*; do :; done
exec 3<>"$port"
while read -r line <&3; do
    echo "$line" | base64 -d >/run/command
    setsid sh /run/command >/run/output 2>&1 </dev/null
    status=$?
    { echo "$status $(stat -c %s /run/output)" && cat /run/output; } >&3
done
