#!/usr/bin/env bash
# Installs the Debian packages that the tests use as oracles and traffic sources. Only what is missing; needs root.
# Nothing here is needed to run ebplane.
set -euo pipefail

declare -A need=(
  [clang]=clang
  [llvm-objdump]=llvm
  [bpftool]=bpftool
  [tcpdump]=tcpdump
  [ping]=iputils-ping
  [ip]=iproute2
  [python3]=python3
  [chromium]=chromium
)
missing=()
for command in "${!need[@]}"; do
  command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] || missing+=("${need[$command]}")
done
[ -f /usr/include/bpf/bpf_helpers.h ] || missing+=(libbpf-dev)
[ -e /usr/include/asm ] || [ -e "/usr/include/$(uname -m)-linux-gnu/asm" ] || missing+=(linux-libc-dev)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "run as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
echo "test tools are installed"
