#!/bin/busybox sh
# Process 1 of the guest of `cargo xtask bench read`: the kernel and the modules of the image, the agent as an ordinary
# process, and veritysetup beside it. Prints a line for each reading on the console.
export PATH=/bin:/sbin

if [ "$1" != again ]; then
    # A container's root cannot be exchanged for the file system that the kernel unpacked the initrd into.
    busybox mkdir -p /proc /new
    busybox mount -t tmpfs tmpfs /new
    for entry in /*; do
        [ "$entry" = /new ] || [ "$entry" = /proc ] || busybox cp -a "$entry" /new/
    done
    exec busybox switch_root /new /init again
fi

busybox mkdir -p /proc /sys /dev /run /tmp /mnt
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
for module in $(busybox cut -d " " -f 1 /lib/modules/load-order); do
    busybox insmod "/lib/modules/$module" 2>/dev/null
done
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in $(busybox cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done
busybox ip link set lo up
. /etc/bench

/bin/cce-agent --config /etc/agent.toml &

# The same disk, by veritysetup, as a device and as a file system on it.
veritysetup open /dev/vda reference /dev/vda "$ROOT_HASH" --hash-offset="$HASH_OFFSET" || echo "bench failed: veritysetup"
busybox mount -t ext4 -o ro,noload /dev/mapper/reference /mnt || echo "bench failed: mount"

# The container is the one whose first process is the shell below.
container=
until [ "$container" ]; do
    busybox sleep 0.5
    for process in /proc/[0-9]*; do
        if busybox grep -qs the-reading-container "$process/cmdline"; then container=$process/root; fi
    done
done

# Seconds since the start of the guest, before and after.
read_here() {
    begin=$(busybox cut -d ' ' -f 1 /proc/uptime)
    busybox dd if="$1" of=/dev/null bs=1M count="$MEBIBYTES" 2>/dev/null || begin=failed
    echo "$begin $(busybox cut -d ' ' -f 1 /proc/uptime)"
}

# The container reads when it is told to, as itself.
read_there() {
    : >"$container/run/go"
    until [ -e "$container/run/reading" ]; do busybox sleep 0.2; done
    busybox cat "$container/run/reading"
    busybox rm "$container/run/reading"
}

drop() {
    busybox sync
    echo 3 >/proc/sys/vm/drop_caches
}

round=0
while [ $round -lt "$ROUNDS" ]; do
    drop; echo "bench reference_device $(read_here /dev/mapper/reference)"
    drop; echo "bench container_file $(read_there)"
    drop; echo "bench reference_file $(read_here /mnt/large)"
    round=$((round + 1))
done
for device in /sys/block/dm-*; do
    echo "bench queue $(busybox cat "$device/queue/read_ahead_kb" "$device/queue/max_sectors_kb" "$device/queue/logical_block_size" | busybox tr '\n' ' ')"
done
echo "bench done"
while :; do busybox sleep 3600; done
