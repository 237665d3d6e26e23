#!/usr/bin/env bash
# Installs forewarn from this checkout as a service, or upgrades it in place. After a failure it undoes every step.
#
#   program   /opt/forewarn/venv -> /opt/forewarn/releases/TIME     the link changes when the release is complete
#   config    /etc/forewarn/config.yaml                             written once, never changed
#   state     /var/lib/forewarn                                     never changed
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: deploy/install.sh [--gpu] [--python PYTHON]

Installs or upgrades forewarn as a systemd service. To upgrade, run it again; it keeps configuration and state.

  --gpu            give the service access to NVIDIA GPUs, and install torch with CUDA
  --python PYTHON  the interpreter, Python 3.11 or newer (default: python3)
TEXT
}

gpu=no python=python3
while [ $# -gt 0 ]; do
    case $1 in
        --gpu) gpu=yes ;;
        --python) python=${2:?--python needs a value}; shift ;;
        -h | --help) usage; exit 0 ;;
        *) echo "install.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

fail() { echo "install.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "must run as root; try sudo $0"
command -v systemctl >/dev/null || fail "systemd is not installed; use deploy/docker instead"
"$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "$python is not Python 3.11 or newer with venv; install python3-venv, or set another interpreter with --python"

source=$(cd "$(dirname "$0")/.." && pwd)
home=/opt/forewarn config=/etc/forewarn/config.yaml unit=/etc/systemd/system/forewarn.service
release=$home/releases/$(date -u +%Y%m%dT%H%M%S)
previous=$(readlink "$home/venv" || true)
kept=$(mktemp -d)
undo=()

undo_all() {
    echo "install.sh: failed; undoing all steps" >&2
    for ((step = ${#undo[@]} - 1; step >= 0; step--)); do eval "${undo[step]}" || true; done
}
trap 'status=$?; [ $status = 0 ] || undo_all; rm -rf "$kept"; exit $status' EXIT

# put SOURCE TARGET: install a file; undoing restores the previous one
put() {
    if [ -e "$2" ]; then
        cp -p "$2" "$kept/$(basename "$2")"
        undo+=("cp -p '$kept/$(basename "$2")' '$2'")
    else
        undo+=("rm -f '$2'")
    fi
    install -D -m 644 "$1" "$2"
}

say() { echo "==> $*"; }

say "installing a new release in $release"
if [ ! -d "$home" ]; then undo+=("rm -rf $home"); fi
mkdir -p "$home/releases"
undo+=("rm -rf $release")
"$python" -m venv "$release"
# packages of the previous release are hard links, so an upgrade installs only what has changed, in seconds
packages=$("$release/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
packages_before=${previous:+$previous${packages#"$release"}}
if [ -d "${packages_before:-}" ]; then cp -al --remove-destination "$packages_before/." "$packages/"; fi
pip=("$release/bin/python" -m pip install --quiet --disable-pip-version-check)
if [ $gpu = yes ]; then
    sed 's/^torch==.*/torch/' "$source/constraints.txt" >"$kept/constraints.txt"
    "${pip[@]}" 'torch>=2.6,<2.14'
    constraints=$kept/constraints.txt
else
    constraints=$source/constraints.txt
    "${pip[@]}" --constraint "$constraints" torch
fi
# the build runs in a copy, so that it leaves no files in the checkout
mkdir "$kept/source"
cp -r "$source"/{pyproject.toml,README.md,daemon} "$kept/source/"
"${pip[@]}" --constraint "$constraints" "$kept/source[postgresql]"
"$release/bin/forewarn" --version

say "creating the user forewarn"
if ! getent passwd forewarn >/dev/null; then
    undo+=("userdel forewarn")
    useradd --system --user-group --home-dir /var/lib/forewarn --no-create-home --shell /usr/sbin/nologin forewarn
fi

say "checking the configuration in $config"
if [ ! -d /etc/forewarn ]; then
    undo+=("rmdir /etc/forewarn")
    install -d -m 750 -o root -g forewarn /etc/forewarn
fi
if [ ! -e "$config" ]; then
    undo+=("rm -f $config")
    sed 's|^data_dir: .*|data_dir: /var/lib/forewarn|' "$source/daemon/config/default.yaml" >"$kept/config.yaml"
    install -m 640 -o root -g forewarn "$kept/config.yaml" "$config"
fi
"$release/bin/forewarn" check-config "$config"

say "installing the unit in $unit"
put "$source/systemd/forewarn.service" "$unit"
if [ $gpu = yes ]; then put "$source/systemd/gpu.conf" /etc/systemd/system/forewarn.service.d/gpu.conf; fi
for page in README.md docs/operations.md docs/runbook.md; do put "$source/$page" "$home/doc/$(basename "$page")"; done
undo+=("systemctl daemon-reload")

if [ -n "$previous" ]; then undo+=("ln -sfn '$previous' $home/venv"); else undo+=("rm -f $home/venv"); fi
ln -sfn "$release" "$home/venv"
undo+=("rm -f /usr/local/bin/forewarn.new")
if [ ! -e /usr/local/bin/forewarn ]; then undo+=("rm -f /usr/local/bin/forewarn"); fi
ln -sfn "$home/venv/bin/forewarn" /usr/local/bin/forewarn
systemctl daemon-reload
systemd-analyze verify --recursive-errors=no "$unit"
systemctl enable --quiet forewarn

if systemctl --quiet is-active forewarn || [ "$(systemctl show -P ActiveState forewarn)" = activating ]; then
    say "restarting the service with the new release"
    undo+=("systemctl restart --no-block forewarn")
    systemctl restart --no-block forewarn
    restarts=$(systemctl show -P NRestarts forewarn)
    sleep 6
    case $(systemctl show -P ActiveState forewarn) in active | activating) ;; *) fail "the new release does not start" ;; esac
    [ "$(systemctl show -P NRestarts forewarn)" = "$restarts" ] || fail "the new release exits at once; see journalctl -u forewarn"
fi

undo=()
# the previous release stays; to go back, link it with ln -sfn to /opt/forewarn/venv and restart
find "$home/releases" -mindepth 1 -maxdepth 1 ! -path "$release" ! -path "${previous:-none}" -exec rm -rf {} +
say "done"
if ! systemctl --quiet is-active forewarn; then
    cat <<TEXT

    forewarn init --prometheus http://localhost:9090 --data-dir /var/lib/forewarn --out $config --force
    forewarn check-config $config
    systemctl start forewarn            # returns with the first forecast
TEXT
fi
