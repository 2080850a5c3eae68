/**
 * Programs on a whole network namespace: flow dissector, socket lookup, netfilter.
 * Source: kernel/bpf/net_namespace.c, net/netfilter/nf_bpf_link.c.
 */
import { closeSync } from "node:fs";
import { Errno } from "@ebplane/core/errors";
import { AttachType, NETFILTER_POINTS, type NetfilterHook, type NetnsHook } from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import { currentNetns } from "../sys/index.ts";
import { createLink } from "./create.ts";
import { BpfLink, type Unwrap } from "./link.ts";

/** Attaches to the calling thread's namespace. */
export function attachNetns(program: LinuxProgram, hook: NetnsHook, unwrap: Unwrap): BpfLink<NetnsHook> {
  const netns = currentNetns();
  try {
    const attachType = hook.type === "sk_lookup" ? AttachType.BPF_SK_LOOKUP : AttachType.BPF_FLOW_DISSECTOR;
    const fd = createLink(hook, { progFd: program.fd, target: netns, attachType });
    return new BpfLink(fd, hook, unwrap);
  } finally {
    closeSync(netns);
  }
}

const NFPROTO_IPV4 = 2;
const NFPROTO_IPV6 = 10;
const BPF_F_NETFILTER_IP_DEFRAG = 1;

export function attachNetfilter(program: LinuxProgram, hook: NetfilterHook, unwrap: Unwrap): BpfLink<NetfilterHook> {
  const fd = createLink(
    hook,
    {
      progFd: program.fd,
      target: 0,
      attachType: AttachType.BPF_NETFILTER,
      fill: (a) => {
        a.setUint32(16, hook.family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6, true);
        a.setUint32(20, NETFILTER_POINTS.indexOf(hook.point), true);
        a.setInt32(24, hook.priority ?? 0, true);
        a.setUint32(28, hook.defrag ? BPF_F_NETFILTER_IP_DEFRAG : 0, true);
      },
    },
    {
      [Errno.ERANGE]: "the first and the last priority are the kernel's own",
      [Errno.EBUSY]: "a program of this priority is there already",
    },
  );
  return new BpfLink(fd, hook, unwrap);
}
