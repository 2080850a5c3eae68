#!/usr/bin/env bash
# run.sh SERIES COMMAND…: runs the shell command, in this folder, as root on another kernel: in an emulated machine (no hardware support needed, 2 to 4 times slower
# than this one) of a kernel that get.sh brought. It sees this machine's files, read-only below a tmpfs: what the command writes is gone afterwards.
# Its output comes as it is written, and its exit status is this one's; 125 where the machine failed.
#   scripts/kernels/run.sh 6.1 npx vitest run packages/linux/src/target
# (no_timer_check: on a busy host the kernel would miss ticks while it boots, and panic.)
# VM_SMP (1), VM_MEM (3G) and VM_TIMEOUT (900 s) size the machine; VM_APPEND adds to the kernel's command line, VM_ARGS to qemu's.
set -uo pipefail
cache=${EBPLANE_KERNEL_CACHE:-/var/cache/ebplane-tests/kernels}
[ $# -ge 2 ] || { echo "usage: run.sh SERIES COMMAND…" >&2; exit 2; }
kernel=$cache/$1
release=$(cat "$kernel/release" 2>/dev/null) || { echo "no kernel of series $1 here: run scripts/kernels/get.sh $1" >&2; exit 2; }
shift
job=$(mktemp -d)
printf 'cd %q || exit\n%s\n' "$PWD" "$*" >"$job/command"
echo "$kernel/lib/modules/$release" >"$job/modules"
: >"$job/out"
# shellcheck disable=SC2086 # VM_ARGS holds several arguments
timeout "${VM_TIMEOUT:-900}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp "${VM_SMP:-1}" -m "${VM_MEM:-3G}" \
  -kernel "$kernel/vmlinuz" -initrd "$kernel/initramfs.gz" \
  -append "console=ttyS0 loglevel=4 panic=-1 mitigations=off nokaslr no_timer_check lsm=capability,bpf ${VM_APPEND:-}" \
  -display none -no-reboot -monitor none -serial "file:$job/console" -nic none \
  -fsdev "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap" -device virtio-9p-pci,fsdev=host,mount_tag=host \
  -fsdev "local,id=job,path=$job,security_model=none" -device virtio-9p-pci,fsdev=job,mount_tag=job \
  ${VM_ARGS:-} </dev/null 2>"$job/qemu" &
machine=$!
trap 'kill "$machine" 2>/dev/null; wait "$machine" 2>/dev/null; rm -rf "$job"; exit 130' INT TERM
tail -n +1 -f --pid="$machine" "$job/out"
wait "$machine"
status=$(cat "$job/status" 2>/dev/null) || {
  echo "the machine ended or ran out of time (VM_TIMEOUT) before the command did; its console's end:" >&2
  cat "$job/console" "$job/qemu" 2>/dev/null | tail -15 >&2
  status=125
}
rm -rf "$job"
exit "$status"
