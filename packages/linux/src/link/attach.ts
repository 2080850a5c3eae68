/** A program to its hook, whatever the kind. */
import { type Hook, type Link, ProgType, progTypeName } from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import { attachCgroup } from "./cgroup.ts";
import type { Unwrap } from "./link.ts";
import { attachLwt } from "./lwt.ts";
import { attachNetfilter, attachNetns } from "./netns.ts";
import { attachSocket, attachSockmap } from "./sockets.ts";
import { attachNetkit, attachTc, attachTcx } from "./tc.ts";
import {
  attachKprobe,
  attachPerfEvent,
  attachRawTracepoint,
  attachTrace,
  attachTracepoint,
  attachUprobe,
} from "./tracing.ts";
import { attachXdp } from "./xdp.ts";

/** Program types that a kind of hook takes; kinds that are not here leave the answer to the kernel. */
const TYPES: Partial<Record<Hook["kind"], readonly number[]>> = {
  xdp: [ProgType.BPF_PROG_TYPE_XDP],
  tcx: [ProgType.BPF_PROG_TYPE_SCHED_CLS],
  tc: [ProgType.BPF_PROG_TYPE_SCHED_CLS],
  netkit: [ProgType.BPF_PROG_TYPE_SCHED_CLS],
  netfilter: [ProgType.BPF_PROG_TYPE_NETFILTER],
  netns: [ProgType.BPF_PROG_TYPE_SK_LOOKUP, ProgType.BPF_PROG_TYPE_FLOW_DISSECTOR],
  lwt: [
    ProgType.BPF_PROG_TYPE_LWT_IN,
    ProgType.BPF_PROG_TYPE_LWT_OUT,
    ProgType.BPF_PROG_TYPE_LWT_XMIT,
    ProgType.BPF_PROG_TYPE_LWT_SEG6LOCAL,
  ],
  perf_event: [ProgType.BPF_PROG_TYPE_PERF_EVENT],
};

/** Attaches in the calling thread's network namespace. @throws TypeError for a program of the wrong type. */
export function attach(program: LinuxProgram, hook: Hook, unwrap: Unwrap): Link<Hook> {
  const types = TYPES[hook.kind];
  if (types && !types.includes(program.spec.type)) {
    const wanted = types.map(progTypeName).join(" or ");
    throw new TypeError(
      `program ${program.spec.name}: ${hook.kind} needs type ${wanted}, got ${progTypeName(program.spec.type)}`,
    );
  }
  switch (hook.kind) {
    case "xdp":
      return attachXdp(program, hook, unwrap);
    case "tcx":
      return attachTcx(program, hook, unwrap);
    case "tc":
      return attachTc(program, hook, unwrap);
    case "cgroup":
      return attachCgroup(program, hook, unwrap);
    case "netns":
      return attachNetns(program, hook, unwrap);
    case "netfilter":
      return attachNetfilter(program, hook, unwrap);
    case "lwt":
      return attachLwt(program, hook, unwrap);
    case "sockmap":
      return attachSockmap(program, hook, unwrap);
    case "socket":
      return attachSocket(program, hook, unwrap);
    case "raw_tp":
      return attachRawTracepoint(program, hook, unwrap);
    case "tracepoint":
      return attachTracepoint(program, hook, unwrap);
    case "kprobe":
    case "kretprobe":
      return attachKprobe(program, hook, unwrap);
    case "uprobe":
    case "uretprobe":
      return attachUprobe(program, hook, unwrap);
    case "perf_event":
      return attachPerfEvent(program, hook, unwrap);
    case "trace":
      return attachTrace(program, hook, unwrap);
    case "netkit":
      return attachNetkit(program, hook, unwrap);
    case "struct_ops":
      throw new TypeError(`program ${program.spec.name}: struct_ops are attached as a whole (StructOps.attach)`);
  }
}
