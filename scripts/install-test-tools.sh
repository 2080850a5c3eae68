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
  [xdp-loader]=xdp-tools
)
missing=()
for command in "${!need[@]}"; do
  command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] || missing+=("${need[$command]}")
done
[ -f /usr/include/bpf/bpf_helpers.h ] || missing+=(libbpf-dev)
[ -e /usr/include/asm ] || [ -e "/usr/include/$(uname -m)-linux-gnu/asm" ] || missing+=(linux-libc-dev)
# The newest clang beside Debian's default one, where there is one: objects of both are tested.
if ! compgen -G "/usr/bin/clang-1[6-9]" >/dev/null && ! compgen -G "/usr/bin/clang-2[0-9]" >/dev/null; then
  [ "$(id -u)" != 0 ] || apt-get update -qq
  newest=$(apt-cache search --names-only '^clang-(1[6-9]|2[0-9])$' | cut -d' ' -f1 | sort -V | tail -1)
  [ -z "$newest" ] || missing+=("$newest" "llvm-${newest#clang-}")
fi
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "run as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
# Files of the kernel's sources that tests read as exams (EBPLANE_LINUX_SRC names another tree). None is ever copied into
# the checkout; without them those tests are skipped.
tree=/var/cache/ebplane-tests/linux
exams=(lib/test_bpf.c)
if [ -z "${EBPLANE_LINUX_SRC:-}" ] && [ "$(id -u)" = 0 ] && ! (cd "$tree" 2>/dev/null && ls "${exams[@]}" >/dev/null 2>&1); then
  work=$(mktemp -d)
  package=$(apt-cache depends linux-source 2>/dev/null | sed -n 's/.*Depends: \(linux-source-[0-9.]*\)$/\1/p' | head -1)
  if [ -n "$package" ] && (cd "$work" && apt-get download -qq "$package" >/dev/null 2>&1); then
    mkdir -p "$tree"
    dpkg-deb --fsys-tarfile "$work"/*.deb | tar xO --wildcards './usr/src/linux-source-*.tar.xz' |
      tar xJ -C "$tree" --strip-components=1 --wildcards "${exams[@]/#/*/}"
  else
    echo "no linux-source package: the tests that read kernel sources will be skipped" >&2
  fi
  rm -rf "$work"
fi
echo "test tools are installed"
