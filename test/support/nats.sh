#!/usr/bin/env bash
# Unpacks nats-server, for tests of workers. Usage:
#   test/support/nats.sh FOLDER, then SDMAE_NATS_SERVER=FOLDER/usr/sbin/nats-server npx vitest run …
# It takes a package of this machine's Debian (4 MB) and installs nothing. The last line says why if
# something is missing.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd -P)

fail() {
  echo "$1"
  exit 1
}

command -v apt-get >/dev/null || fail "this is not Debian"
cd "$folder"
apt=(apt-get -qq -o Acquire::Retries=2 -o APT::Sandbox::User=)
if ! timeout 60 "${apt[@]}" download nats-server >/dev/null 2>&1; then
  # Without lists, apt knows no package.
  timeout 120 "${apt[@]}" update >/dev/null 2>&1 || fail "apt-get update failed"
  timeout 60 "${apt[@]}" download nats-server >/dev/null 2>&1 || fail "its package cannot be downloaded"
fi
dpkg-deb -x nats-server_*.deb "$folder" || fail "its package cannot be unpacked"
rm nats-server_*.deb
"$folder/usr/sbin/nats-server" --version >/dev/null || fail "it does not run here"
