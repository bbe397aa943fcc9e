#!/bin/sh
# What `make test` needs from the system. As root on Debian it installs what is missing; elsewhere
# it prints the command and stops.
set -eu

missing=""
need() { # command, Debian package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need python3 python3
python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
need chromium chromium
need chromedriver chromium-driver
need redis-server redis-server
need java openjdk-17-jre-headless
need mvn maven
need promtool prometheus

[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
    exit 0
fi
echo "segstream: make test needs:$missing"
echo "on Debian or Ubuntu: sudo apt-get update && sudo apt-get install -y$missing"
exit 1
