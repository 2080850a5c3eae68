/** PROG_QUERY: what is attached to a hook, in order. Source: include/uapi/linux/bpf.h `union bpf_attr` (query). */

import { attr, bpf, Cmd, cmdName } from "../bpf/index.ts";
import { scratch, setPointer } from "../mem/index.ts";
import { check } from "../sys/index.ts";

export interface AttachedProgram {
  readonly progId: number;
  /** 0 where it was attached without a link, or the kernel does not say. */
  readonly linkId: number;
}

const BPF_F_QUERY_EFFECTIVE = 1;
const ROOM = 64;

/**
 * The programs at `target` (an ifindex, or an fd of a cgroup or namespace), first to run first.
 * `effective` adds what parent cgroups bring in.
 */
export function queryPrograms(
  target: number,
  attachType: number,
  effective = false,
): { programs: AttachedProgram[]; revision: bigint } {
  return scratch((memory) => {
    const progIds = memory.take(ROOM * 4);
    const linkIds = memory.take(ROOM * 4);
    const withLinks = attachType === 46 || attachType === 47;
    const a = attr(64);
    a.setUint32(0, target, true);
    a.setUint32(4, attachType, true);
    a.setUint32(8, effective ? BPF_F_QUERY_EFFECTIVE : 0, true);
    setPointer(a, 16, progIds.address);
    a.setUint32(24, ROOM, true);
    if (withLinks) setPointer(a, 40, linkIds.address);
    check(cmdName(Cmd.PROG_QUERY), bpf(Cmd.PROG_QUERY, 64));
    const count = Math.min(ROOM, a.getUint32(24, true));
    const programs = Array.from({ length: count }, (_, i) => ({
      progId: progIds.view.getUint32(i * 4, true),
      linkId: linkIds.view.getUint32(i * 4, true),
    }));
    return { programs, revision: a.getBigUint64(56, true) };
  });
}
