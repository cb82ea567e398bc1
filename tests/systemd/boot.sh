#!/usr/bin/env bash
# Boots this machine's own systemd as PID 1 of a throw-away copy of it, and runs a script in there.
#
#     tests/systemd/boot.sh SCRIPT FOLDER
#
# The copy is an overlay on / that is gone afterwards; it has processes, mounts, network (loopback
# alone), IPC, host name and control groups of its own. FOLDER is seen inside as /handed. The exit
# code is the script's. It takes root and Linux namespaces, which containers for CI usually have;
# where something is missing it says what, and fails.
set -euo pipefail

script=$(readlink -f "$1") handed=$(readlink -f "$2")
fail() { echo "boot.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail 'needs root: it makes namespaces and mounts'
systemd=/lib/systemd/systemd
for need in "$systemd" nsenter unshare setpriv systemd-analyze dpkg; do
    command -v "$need" >/dev/null || fail "$need is missing: install systemd, util-linux and dpkg"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/attendant-systemd.XXXXXX")
console=$work/console
mkdir "$work/root"
: >"$console"
holder='' first='' cgroup='' mounted=''

clean_up() {
    set +e
    if [ -n "$first" ]; then
        # SIGRTMIN+3 asks a systemd in a container to halt.
        kill -s RTMIN+3 "$first" 2>/dev/null && timeout 5 tail --pid="$first" -f /dev/null
    fi
    [ -z "$holder" ] || kill -KILL "$holder" 2>/dev/null
    wait 2>/dev/null
    if [ -n "$cgroup" ]; then
        for _ in {1..50}; do
            find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
            [ -d "$cgroup" ] || break
            sleep 0.1
        done
    fi
    [ -z "$mounted" ] || umount "$mounted" 2>/dev/null
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# systemd wants a control group (v2) of its own, as a container would give it.
hierarchy=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
if [ -z "$hierarchy" ]; then
    hierarchy=$work/cgroup mounted=$work/cgroup
    mkdir "$hierarchy"
    mount -t cgroup2 cgroup2 "$hierarchy" || fail 'there is no cgroup2, and none can be mounted'
fi
cgroup=$hierarchy/attendant-systemd-$$
mkdir "$cgroup" || fail "cannot make a control group in $hierarchy"

# Runs in the new namespaces, before systemd does: the file systems.
inside() {
    set -euo pipefail
    local root=$work/root/merged
    mount -t tmpfs -o mode=755,size=3g tmpfs "$work/root"
    mkdir "$work/root"/{upper,scratch,merged}
    mount -t overlay -o "lowerdir=/,upperdir=$work/root/upper,workdir=$work/root/scratch" \
        overlay "$root"

    # Nothing of the machine itself is to start in there.
    rm -rf "$root"/etc/systemd/system/* "$root/etc/fstab" "$root/usr/sbin/policy-rc.d"
    local unit
    for unit in dev-hugepages.mount sys-kernel-{config,debug,tracing}.mount \
        sys-fs-fuse-connections.mount tmp.mount swap.target systemd-journald-audit.socket \
        systemd-{firstboot,logind,modules-load,random-seed,remount-fs,sysctl,timesyncd,udevd,update-utmp}.service
    do
        ln -s /dev/null "$root/etc/systemd/system/$unit"
    done
    : >"$root/etc/machine-id"
    [ -s "$root/etc/hosts" ] || echo '127.0.0.1 localhost' >"$root/etc/hosts"
    mkdir -p "$root/etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nReadKMsg=no\nAudit=\n' \
        >"$root/etc/systemd/journald.conf.d/test.conf"

    mkdir -p "$root/handed"
    mount --bind "$handed" "$root/handed"
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    local name
    for name in null zero full random urandom tty; do cp -a "/dev/$name" "$root/dev/$name"; done
    mkdir "$root"/dev/{pts,shm,mqueue}
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s /proc/self/fd/0 "$root/dev/stdin"
    ln -s /proc/self/fd/1 "$root/dev/stdout"
    ln -s /proc/self/fd/2 "$root/dev/stderr"
    : >"$root/dev/console"
    mount --bind "$console" "$root/dev/console"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"

    cd "$root"
    mkdir run/before
    pivot_root . run/before
    umount -l /run/before
    rmdir /run/before
    # Otherwise the folders of LoadCredential= stay empty, without a word.
    mount --make-rshared /
    exec setpriv --bounding-set -sys_module,-sys_rawio,-sys_time \
        env -i container=attendant-test LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        "$systemd" --system --unit=basic.target
}
export -f inside
export work handed console systemd cgroup

bash -c 'echo $$ >"$cgroup/cgroup.procs"
    exec setpriv --pdeathsig KILL unshare --mount --propagation private --uts --ipc --net --cgroup \
        --pid --fork --kill-child=KILL bash -c inside' </dev/null >>"$console" 2>&1 &
holder=$!

for _ in {1..200}; do
    kill -0 "$holder" 2>/dev/null || break
    for child in $(cat "/proc/$holder/task/$holder/children" 2>/dev/null); do
        [ "$(cat "/proc/$child/comm" 2>/dev/null)" = systemd ] && first=$child
    done
    [ -z "$first" ] || break
    sleep 0.05
done
[ -n "$first" ] || { cat "$console" >&2; fail 'systemd did not start: what it said is above'; }

within() {
    nsenter -t "$first" --mount --uts --ipc --net --pid --cgroup env -i LANG=C.UTF-8 \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin container=attendant-test "$@"
}
for _ in {1..200}; do
    within test -S /run/systemd/private && break
    sleep 0.05
done
state=$(within timeout 60 systemctl is-system-running --wait) || {
    within systemctl --no-pager --failed >&2 || true
    fail "systemd is $state"
}
echo "booted: $(within systemctl --version | head -1)"
within bash -s <"$script"
