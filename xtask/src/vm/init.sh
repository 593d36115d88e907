#!/bin/busybox sh
# The guest's first process: mounts what a Linux machine has, loads modules, runs /sockeye/command and tells
# its exit status. The kernel's own words go to ttyS0; ttyS1 is the command's, and carries two marks.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root TERM=dumb NO_COLOR=1 LC_ALL=C.UTF-8

/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mkdir -p /dev/pts /dev/shm
/bin/busybox mount -t devpts devpts /dev/pts
for folder in /dev/shm /tmp /run; do /bin/busybox mount -t tmpfs tmpfs $folder; done
/bin/busybox mount -t bpf bpf /sys/fs/bpf
/bin/busybox mount -t tracefs tracefs /sys/kernel/tracing
/bin/busybox mount -t debugfs debugfs /sys/kernel/debug
/bin/busybox mount -t securityfs securityfs /sys/kernel/security
/bin/busybox mount -t cgroup2 cgroup /sys/fs/cgroup
/bin/busybox mkdir -p /run/netns /run/log
ulimit -l unlimited
ulimit -n 1048576
/bin/busybox hostname sockeye-vm
/bin/busybox ifconfig lo 127.0.0.1 up
for module in $(/bin/busybox cat /sockeye/modules); do /bin/busybox modprobe -q "$module"; done

/bin/busybox stty -F /dev/ttyS1 raw -echo
exec </dev/null >/dev/ttyS1 2>&1
echo "sockeye-vm: up $(/bin/busybox uname -r)"
cd /root || exit 1
sh /sockeye/command
echo "sockeye-vm: exit $?"
# What is still in the line's buffer would be lost: setting its mode waits until it is out.
/bin/busybox stty -F /dev/ttyS1 raw -echo
echo 1 >/proc/sys/kernel/sysrq
/bin/busybox poweroff -f
