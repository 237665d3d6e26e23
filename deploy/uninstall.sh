#!/usr/bin/env bash
# Removes forewarn as deploy/install.sh installed it; configuration and state stay unless --purge is given.
set -euo pipefail

purge=no
case ${1:-} in
    --purge) purge=yes ;;
    '') ;;
    *) echo "Usage: deploy/uninstall.sh [--purge]   (--purge: configuration, history and models as well)" >&2; exit 2 ;;
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
    echo "forewarn is gone, and all that it knew."
else
    echo "forewarn is gone; /etc/forewarn and /var/lib/forewarn are still there (--purge removes them)."
fi
