#!/usr/bin/env bash
# Unpacks GStreamer's RTSP server, for test/node/media/rtsp_server.test.ts. Usage:
#   test/support/gstreamer.sh FOLDER, then SDMAE_GSTREAMER=FOLDER npx vitest run …
# It takes some packages of this machine's Debian (9 MB) and installs nothing: installed, they would
# bring 130 others that the tests do not need. The last line says why if something is missing.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd -P)
packages=(
  python3-gi libgirepository-1.0-1 gir1.2-glib-2.0
  libgstreamer1.0-0 gir1.2-gstreamer-1.0 liborc-0.4-0
  libgstreamer-plugins-base1.0-0 gir1.2-gst-plugins-base-1.0
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  libgstrtspserver-1.0-0 gir1.2-gst-rtsp-server-1.0
  glib-networking
)

fail() {
  echo "$1"
  exit 1
}

command -v apt-get >/dev/null || fail "this is not Debian"
[ -x /usr/bin/python3 ] || fail "Debian's python3 is missing"
mkdir -p "$folder/packages"
cd "$folder/packages"
apt=(apt-get -qq -o Acquire::Retries=2 -o APT::Sandbox::User=)
if ! timeout 60 "${apt[@]}" download "${packages[@]}" >/dev/null 2>&1; then
  # Without lists, apt knows no package.
  timeout 120 "${apt[@]}" update >/dev/null 2>&1 || fail "apt-get update failed"
  timeout 60 "${apt[@]}" download "${packages[@]}" >/dev/null 2>&1 || fail "its packages cannot be downloaded"
fi
for package in *.deb; do dpkg-deb -x "$package" "$folder" || fail "$package cannot be unpacked"; done
rm -r "$folder/packages"
# Of plugins and modules those that the tests use: others would miss their libraries.
rm -f "$folder"/usr/lib/*/gio/modules/libgio*proxy.so
plugins=$(echo "$folder"/usr/lib/*/gstreamer-1.0)
for plugin in "$plugins"/*.so; do
  case ${plugin##*/libgst} in
    app.so | coreelements.so | isomp4.so | rtp.so | rtpmanager.so | tcp.so | typefindfunctions.so | udp.so) ;;
    *) rm "$plugin" ;;
  esac
done
