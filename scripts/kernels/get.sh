#!/usr/bin/env bash
# get.sh 5.10 6.1 6.12 …: brings Debian's newest kernel of each of these series, for run.sh: packages from Debian's archive, unpacked under
# /var/cache/ebplane-tests/kernels (EBPLANE_KERNEL_CACHE names another folder), nothing of them installed. The emulator and the tools that pack an
# initramfs are installed where they are missing. Needs root, Debian and its mirror.
set -euo pipefail
cache=${EBPLANE_KERNEL_CACHE:-/var/cache/ebplane-tests/kernels}
[ $# -gt 0 ] || { echo "usage: get.sh SERIES…, as in: get.sh 5.10 6.1 6.12 6.18" >&2; exit 2; }

declare -A need=([qemu-system-x86_64]=qemu-system-x86 [busybox]=busybox-static [depmod]=kmod [cpio]=cpio [xz]=xz-utils [zstd]=zstd)
missing=()
for command in "${!need[@]}"; do
  command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] || missing+=("${need[$command]}")
done
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || { echo "run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# Package lists of our own: this machine's sources stay as they are. Debian keeps one series to a release; backports and sid have the newer ones.
mkdir -p "$cache/apt/lists/partial"
key="signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
for suite in bullseye bookworm bookworm-backports trixie trixie-backports sid; do
  echo "deb [$key] http://deb.debian.org/debian $suite main"
done >"$cache/apt/sources.list"
for release in bullseye bookworm trixie; do
  echo "deb [$key] http://deb.debian.org/debian-security $release-security main"
done >>"$cache/apt/sources.list"
lists=(-o "Dir::Etc::sourcelist=$cache/apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$cache/apt/lists"
  -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o APT::Architectures=amd64)
apt-get "${lists[@]}" -qq update

# fetch SERIES: the kernel, its modules and their index in $cache/SERIES.
fetch() {
  local series=$1 release work
  release=$(apt-cache "${lists[@]}" search --names-only "^linux-image-${series//./\\.}\\.[0-9].*-amd64\$" |
    sed -n -E '/-(rt|cloud)-amd64/d; s/^linux-image-([^ ]*)-amd64 .*/\1/p' | sort -V | tail -1)
  [ -n "$release" ] || { echo "Debian has no kernel of series $series: $(known)" >&2; return 1; }
  if [ "$(cat "$cache/$series/release" 2>/dev/null)" = "$release-amd64" ]; then
    echo "$series: $release-amd64, already here"
    return
  fi
  work=$(mktemp -d)
  # Since 7.1 the image is a package of its own beside those of the modules.
  local packages=("linux-image-$release-amd64")
  ! apt-cache "${lists[@]}" show "linux-binary-$release-amd64" >/dev/null 2>&1 ||
    packages=("linux-base-$release-amd64" "linux-binary-$release-amd64" "linux-modules-$release-amd64")
  (cd "$work" && apt-get "${lists[@]}" -qq download "${packages[@]}")
  rm -rf "${cache:?}/$series"
  mkdir -p "$cache/$series"
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/tree"; done
  mv "$(find "$work/tree" -type d -path "*/lib/modules/$release-amd64" | head -1)" "$work/modules"
  mkdir -p "$cache/$series/lib/modules"
  mv "$work/modules" "$cache/$series/lib/modules/$release-amd64"
  mv "$(find "$work/tree" "$cache/$series" -type f -name 'vmlinuz*' | head -1)" "$cache/$series/vmlinuz"
  PATH=$PATH:/usr/sbin depmod -b "$cache/$series" "$release-amd64"
  rm -rf "$work"
  initramfs "$series" "$release-amd64"
  echo "$release-amd64" >"$cache/$series/release"
  echo "$series: $release-amd64"
}

known() {
  echo "it has $(apt-cache "${lists[@]}" search --names-only '^linux-image-[0-9.]*[-+0-9a-z.]*-amd64$' |
    sed -n 's/^linux-image-\([0-9]*\.[0-9]*\)\..*/\1/p' | sort -Vu | tr '\n' ' ')"
}

# initramfs SERIES RELEASE: busybox and the modules that mount this machine's files over 9p.
initramfs() {
  local root=$cache/$1 release=$2 work n=10 file name
  work=$(mktemp -d)
  mkdir -p "$work"/{bin,dev,proc,sys,modules}
  cp "$(command -v busybox)" "$work/bin/busybox"
  for module in virtio_pci 9pnet_virtio 9p overlay; do
    PATH=$PATH:/usr/sbin modprobe -d "$root" -S "$release" --show-depends "$module"
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
    name=$n-$(basename "$file")
    case $file in
      *.xz) xz -dc "$file" >"$work/modules/${name%.xz}" ;;
      *.zst) zstd -qdc "$file" >"$work/modules/${name%.zst}" ;;
      *) cp "$file" "$work/modules/$name" ;;
    esac
    n=$((n + 1))
  done
  cp "$(dirname "$(readlink -f "$0")")/init" "$work/init"
  (cd "$work" && find . | cpio -o -H newc --quiet) | gzip -1 >"$root/initramfs.gz"
  rm -rf "$work"
}

for series in "$@"; do fetch "$series"; done
