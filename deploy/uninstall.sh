#!/usr/bin/env bash
# Removes everything that deploy/install.sh installed. Configuration and state stay, except with --purge.
set -euo pipefail

purge=no
case ${1:-} in
    --purge) purge=yes ;;
    '') ;;
    *) echo "Usage: deploy/uninstall.sh [--purge]   (--purge: remove configuration, history and models, too)" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "uninstall.sh: must run as root; try sudo $0" >&2; exit 1; }

systemctl disable --quiet --now forewarn 2>/dev/null || true
rm -rf /opt/forewarn /etc/systemd/system/forewarn.service
rm -f /usr/local/bin/forewarn /etc/systemd/system/forewarn.service.d/gpu.conf
rmdir /etc/systemd/system/forewarn.service.d 2>/dev/null || true
systemctl daemon-reload
if [ $purge = yes ]; then
    rm -rf /etc/forewarn /var/lib/forewarn
    userdel forewarn 2>/dev/null || true
    echo "forewarn is removed, with configuration, history and models."
else
    echo "forewarn is removed; /etc/forewarn and /var/lib/forewarn stay (--purge removes them)."
fi
