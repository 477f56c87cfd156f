#!/usr/bin/env bash
# The driver laboratory: Vulkan drivers of GPUs that this machine does not have
# (docs/adapters.md). tools/gpu-lab.sh --help lists the commands.
set -euo pipefail

root=${GPU_LAB:-/opt/gpu-lab}
log=$root.log
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

usage() {
  cat <<'TEXT'
Usage: tools/gpu-lab.sh COMMAND

  setup                 set up the laboratory: Debian 13 with Mesa's drivers, about 0.9 GB;
                        needs Debian, root and a network, and keeps a laboratory that is ready
  run GPU COMMAND...    run COMMAND in this folder, with GPU as the only Vulkan device
  gpus                  list the names for GPU
  ready                 exit with 0 if the laboratory is set up, else with 1

The drivers compile each shader to the GPU's machine code, but run nothing.
Only lavapipe computes, on the CPU.

Environment:
  GPU_LAB               the laboratory's folder (default: /opt/gpu-lab)
  GPU_LAB_FOLDERS       more folders for COMMAND, separated by colons
                        (this folder, the project's and /tmp are always there)

Exit codes: 1 if the laboratory is not ready or cannot be set up, 2 for a wrong option;
`run` exits with COMMAND's code.
TEXT
}

fail() {
  echo "gpu-lab: $1" >&2
  exit "${2:-1}"
}

gpus() {
  cat <<'TEXT'
rtx3090    NVIDIA GA102 (RTX 3090), driver NVK; matrix units, subgroups of 32
rtx2080    NVIDIA TU102 (RTX 2080 Ti), driver NVK; matrix units, subgroups of 32
rx7900xtx  AMD RDNA 3, driver RADV; matrix units, subgroups of 32 or 64
rx9070xt   AMD RDNA 4, driver RADV; matrix units, subgroups of 32 or 64
rx6800     AMD RDNA 2, driver RADV; subgroups of 32 or 64
m1         Apple M1, driver Honeykrisp; subgroups of 32
adreno740  Qualcomm Adreno 740, driver Turnip; subgroups of 64 or 128
lavapipe   Mesa's driver for CPUs, which computes; matrix units
TEXT
}

# Whether a command can have its own mounts here.
own_mounts() {
  unshare --mount --propagation private true 2>/dev/null
}

# The mirror that apt of this machine uses. It is never printed, because it may be private.
debian_mirror() {
  local uri
  uri=$(apt-get indextargets --format '$(URI)' 'Created-By: Packages' 2>/dev/null |
    grep -oE '^(https?|file|mirror[^:]*):/[^ ]*/debian/' | head -n 1) || true
  if [ -z "$uri" ]; then
    uri=$(grep -hoE '(https?|file):/[^ ]*/debian/?' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
      head -n 1) || true
  fi
  echo "$uri"
}

setup() {
  if [ -e "$root/.ready" ]; then
    echo "the laboratory in $root is ready"
    return
  fi
  local id
  id=$( (. /etc/os-release && echo "${ID:-}") 2>/dev/null) || true
  [ "$id" = debian ] || fail "the laboratory can only be set up on Debian; this is ${id:-another system}"
  [ "$(id -u)" -eq 0 ] || fail "only root can set up the laboratory"
  command -v apt-get >/dev/null || fail "apt-get is missing"
  command -v flock >/dev/null && command -v unshare >/dev/null || fail "flock or unshare is missing (package util-linux)"
  own_mounts || fail "the laboratory needs mounts, which this machine does not allow (an unprivileged container?)"
  mkdir -p "$(dirname "$root")" 2>/dev/null || fail "$(dirname "$root") cannot be made"
  # Of two setups at the same time, the second one waits and then finds the laboratory ready.
  { exec 9>"$root.lock"; } 2>/dev/null || fail "$root cannot be written"
  flock 9
  if [ -e "$root/.ready" ]; then
    echo "the laboratory in $root is ready"
    return
  fi
  if ! command -v debootstrap >/dev/null; then
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends debootstrap; } \
      >"$log" 2>&1 9>&- || fail "debootstrap is missing, and apt-get cannot install it (see $log)"
  fi
  local mirror
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || fail "apt has no Debian mirror here"
  if [ -d "$root" ]; then
    # An interrupted setup left it. Only a tree that this script made may be removed.
    [ -e "$root/.gpu-lab" ] || [ -z "$(ls -A "$root")" ] || fail "$root holds other files: choose another folder (GPU_LAB)"
    if grep -q " $root/" /proc/self/mounts; then fail "something is mounted in $root: unmount it first"; fi
    rm -rf --one-file-system "$root"
  fi
  mkdir "$root"
  : >"$root/.gpu-lab"
  echo "setting up the laboratory in $root (one to four minutes) …"
  debootstrap --variant=minbase --include=ca-certificates trixie "$root" "$mirror" >"$log" 2>&1 9>&- ||
    fail "debootstrap failed (see $log)"
  echo "deb $mirror trixie-backports main" >"$root/etc/apt/sources.list.d/backports.list"
  chroot "$root" /bin/sh -ec '
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o Acquire::Retries=2 update
    apt-get -qq install -y --no-install-recommends nodejs ffmpeg
    apt-get -qq install -y --no-install-recommends -t trixie-backports mesa-vulkan-drivers mesa-drm-shim libvulkan1
    apt-get clean' >>"$log" 2>&1 9>&- || fail "Mesa or Node cannot be installed (see $log)"
  touch "$root/.ready"
  rm -f "$log"
  echo "the laboratory in $root is ready: $(chroot "$root" dpkg-query -W -f 'Mesa ${Version}' mesa-vulkan-drivers), Node $(chroot "$root" node --version)"
}

run() {
  local gpu=$1 driver shim=
  shift
  # These variables tell a driver which GPU it has.
  local variables=()
  case $gpu in
    rtx3090) driver=nouveau shim=nouveau variables=(NOUVEAU_CHIPSET=0x172) ;;
    rtx2080) driver=nouveau shim=nouveau variables=(NOUVEAU_CHIPSET=0x162) ;;
    rx7900xtx) driver=radeon shim=amdgpu variables=(AMDGPU_GPU_ID=navi31) ;;
    rx9070xt) driver=radeon shim=amdgpu variables=(AMDGPU_GPU_ID=gfx1201) ;;
    rx6800) driver=radeon shim=amdgpu variables=(AMDGPU_GPU_ID=navi21) ;;
    m1) driver=asahi shim=asahi ;;
    adreno740) driver=freedreno shim=freedreno variables=(FD_GPU_ID=740) ;;
    lavapipe) driver=lvp ;;
    *) fail "there is no GPU \"$gpu\"; take one of $(gpus | cut -d ' ' -f 1 | paste -sd ' ')" 2 ;;
  esac
  [ -e "$root/.ready" ] || fail "the laboratory in $root is not set up: run tools/gpu-lab.sh setup"
  [ "$(id -u)" -eq 0 ] || fail "only root can run commands in the laboratory"
  own_mounts || fail "the laboratory needs mounts, which this machine does not allow"
  variables+=(VK_DRIVER_FILES="/usr/share/vulkan/icd.d/${driver}_icd.json" HOME=/tmp XDG_RUNTIME_DIR=/tmp)
  [ -z "$shim" ] || variables+=(LD_PRELOAD="lib${shim}_noop_drm_shim.so")
  # Mounts are in their own namespace: nothing stays mounted, however the command ends.
  exec unshare --mount --propagation private bash -ec '
    root=$1 here=$2 folders=$3
    shift 3
    for folder in /proc /dev /sys; do mount --rbind "$folder" "$root$folder"; done
    mount --bind /tmp "$root/tmp"
    IFS=: read -ra folders <<<"$folders"
    for folder in "${folders[@]}"; do
      case $folder in
        /tmp | /tmp/* | "") continue ;;
        /*) ;;
        *) echo "gpu-lab: $folder in GPU_LAB_FOLDERS is not an absolute path" >&2; exit 2 ;;
      esac
      [ -d "$folder" ] || { echo "gpu-lab: the folder $folder does not exist" >&2; exit 2; }
      mkdir -p "$root$folder"
      mount --bind "$folder" "$root$folder"
    done
    exec chroot "$root" env --chdir="$here" "$@"' \
    gpu-lab "$root" "$(pwd -P)" "$project:$(pwd -P):${GPU_LAB_FOLDERS:-}" "${variables[@]}" "$@"
}

case ${1:-} in
  setup | gpus | ready)
    [ $# -eq 1 ] || fail "$1 takes no arguments (see --help)" 2
    if [ "$1" = ready ]; then [ -e "$root/.ready" ]; else "$1"; fi
    ;;
  run)
    [ $# -ge 3 ] || fail "run needs a GPU and a command (see --help)" 2
    shift
    run "$@"
    ;;
  -h | --help | help) usage ;;
  "") usage >&2; exit 2 ;;
  *) fail "there is no command \"$1\" (see --help)" 2 ;;
esac
