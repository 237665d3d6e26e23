#!/bin/bash
# A real systemd as PID 1 of its own pid, mount, uts, ipc and cgroup namespaces, on a temporary overlay of the root
# file system of this machine. The network is that of the machine.
#   systemd_box.sh start FOLDER REPOSITORY    waits until the box has booted; prints only errors
#   systemd_box.sh run FOLDER COMMAND...      runs a command in it
#   systemd_box.sh stop FOLDER
set -euo pipefail
verb=$1 folder=$2
shift 2
group=forewarn-box-$(basename "$(dirname "$folder")")-$(basename "$folder")
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then controllers=; else controllers="memory pids cpu cpuacct blkio devices"; fi
group_folders() { if [ -z "$controllers" ]; then echo "/sys/fs/cgroup/$group"; else
    for controller in unified systemd $controllers; do
        [ ! -d "/sys/fs/cgroup/$controller" ] || echo "/sys/fs/cgroup/$controller/$group"; done; fi; }

become_init() {
    local root=$folder/fs/root cgroup node unit
    mount --make-rprivate /
    mount -t tmpfs -o mode=755,size=6g tmpfs "$folder/fs"
    mkdir "$folder"/fs/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/fs/upper,workdir=$folder/fs/work" "$root"
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    cgroup=$root/sys/fs/cgroup
    if [ -z "$controllers" ]; then
        mount -t cgroup2 cgroup2 "$cgroup"
    else
        mount -t tmpfs -o mode=755 tmpfs "$cgroup"
        mkdir "$cgroup/unified" "$cgroup/systemd"
        mount -t cgroup2 cgroup2 "$cgroup/unified"
        mount -t cgroup -o none,name=systemd cgroup "$cgroup/systemd"
        for controller in $controllers; do
            mkdir "$cgroup/$controller"
            mount -t cgroup -o "$controller" cgroup "$cgroup/$controller"
        done
    fi
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    mkdir "$root"/dev/{pts,shm}
    for node in null zero full random urandom tty; do
        : >"$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mkdir -p "$root/mnt/forewarn"
    mount --bind "$1" "$root/mnt/forewarn"
    mount -o remount,bind,ro "$root/mnt/forewarn"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    rm -f "$root"/etc/systemd/system/*.wants/* "$root/etc/fstab"
    for unit in systemd-{timesyncd,networkd,resolved,udevd,udev-trigger,logind,sysctl,modules-load}; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
    done
    mkdir "$root/.old"
    cd "$root"
    pivot_root . .old
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c \
        'umount -l /.old; rmdir /.old; exec env container=unshare /lib/systemd/systemd --system --unit=multi-user.target'
}

run() {
    exec nsenter -t "$(cat "$folder/pid")" -m -p -u -i -C -r -w \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 "$@"
}

case $verb in
    init) become_init "$1" ;;
    start)
        mkdir -p "$folder/fs"
        (
            for part in $(group_folders); do
                mkdir -p "$part"
                echo "$BASHPID" >"$part/cgroup.procs"
            done
            exec unshare -pmuiC --fork --kill-child=KILL bash "$(readlink -f "$0")" init "$folder" "$1" \
                >"$folder/boot.log" 2>&1 </dev/null
        ) &
        echo $! >"$folder/unshare.pid"
        for _ in $(seq 200); do
            child=$(pgrep -P "$(cat "$folder/unshare.pid")" | head -1 || true)
            if [ -n "$child" ] && [ "$(cat "/proc/$child/comm" 2>/dev/null)" = systemd ]; then
                echo "$child" >"$folder/pid"
                # the state is degraded if a service of this machine fails; that is good enough
                case $( (run systemctl is-system-running --wait) 2>&1) in running | degraded) exit 0 ;; esac
            fi
            sleep 0.1
        done
        cat "$folder/boot.log" >&2
        exit 1
        ;;
    run) run "$@" ;;
    stop)
        kill -s RTMIN+3 "$(cat "$folder/pid")" 2>/dev/null || true
        for _ in $(seq 50); do
            [ -d "/proc/$(cat "$folder/pid")" ] || break
            sleep 0.1
        done
        kill -KILL "$(cat "$folder/unshare.pid")" 2>/dev/null || true
        sleep 0.3
        for part in $(group_folders); do
            [ ! -d "$part" ] || find "$part" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        done
        rmdir "$folder/fs" 2>/dev/null || true
        ;;
esac
