# Runs as the first process of new namespaces; LOWER, STATE and CGROUP are set above.
set -eu
mkdir -p "$STATE/upper" "$STATE/work" "$STATE/root" "$STATE/data" "$STATE/share"
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$STATE/upper,workdir=$STATE/work" "$STATE/root"
cd "$STATE/root"
hostname docker
ip link set lo up
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p var/lib/docker share .old
mount --bind "$STATE/data" var/lib/docker
mount --bind "$STATE/share" share
printf '127.0.0.1 localhost docker\n' > etc/hosts
# A step that would reach for a registry must fail the same way on both sides.
printf 'nameserver 127.0.0.1\n' > etc/resolv.conf
# Under chroot alone, `exec` would land in the host's own root.
pivot_root . .old
exec chroot . /bin/bash -c "umount -l /.old; exec dockerd --host unix:///share/docker.sock --cgroup-parent /$CGROUP"
