/** Whether this process may use bpf(2) at all, found out by asking for the smallest map. */
import { Errno, errnoName } from "@ebplane/core/errors";
import { MapType } from "@ebplane/core/object";
import { tryMapCreate } from "./bpf/index.ts";
import { close, nativeProblem } from "./sys/index.ts";

export type KernelAvailable = { readonly ok: true } | { readonly ok: false; readonly reason: string };

let answer: KernelAvailable | undefined;

/** Answers once and remembers. `reason` is one line that says what is missing. */
export function kernelAvailable(): KernelAvailable {
  answer ??= ask();
  return answer;
}

function ask(): KernelAvailable {
  const problem = nativeProblem();
  if (problem !== undefined) return { ok: false, reason: problem };
  const fd = tryMapCreate({ type: MapType.BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 4, maxEntries: 1 });
  if (fd >= 0) {
    close(fd);
    return { ok: true };
  }
  if (fd === -Errno.EPERM)
    return { ok: false, reason: "bpf(2) is not permitted: run as root or with CAP_BPF and CAP_NET_ADMIN" };
  if (fd === -Errno.ENOSYS) return { ok: false, reason: "this kernel has no bpf(2)" };
  return { ok: false, reason: `bpf(2) answers ${errnoName(-fd)}` };
}
