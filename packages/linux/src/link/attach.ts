/** A program to its hook, whatever the kind. */
import { HOOK_PROG_TYPES, type Hook, type Link, progTypeName } from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import { attachCgroup } from "./cgroup.ts";
import { attachFreplace } from "./freplace.ts";
import type { Unwrap } from "./link.ts";
import { attachLwt } from "./lwt.ts";
import { attachKprobeMulti, attachUprobeMulti } from "./multi.ts";
import { attachNetfilter, attachNetns } from "./netns.ts";
import { attachKprobe, attachKsyscall, attachPerfEvent, attachTracepoint, attachUprobe } from "./perf-event.ts";
import { attachSocket, attachSockmap } from "./sockets.ts";
import { attachNetkit, attachTc, attachTcx } from "./tc.ts";
import { attachRawTracepoint, attachTrace } from "./tracing.ts";
import { attachXdp } from "./xdp.ts";

/** Attaches in the calling thread's network namespace. @throws TypeError for a program of the wrong type. */
export function attach(program: LinuxProgram, hook: Hook, unwrap: Unwrap): Link<Hook> {
  const types = HOOK_PROG_TYPES[hook.kind];
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
    case "ksyscall":
    case "kretsyscall":
      return attachKsyscall(program, hook, unwrap);
    case "uprobe":
    case "uretprobe":
      return attachUprobe(program, hook, unwrap);
    case "kprobe_multi":
    case "kretprobe_multi":
    case "kprobe_session":
      return attachKprobeMulti(program, hook, unwrap);
    case "uprobe_multi":
    case "uretprobe_multi":
    case "uprobe_session":
      return attachUprobeMulti(program, hook, unwrap);
    case "perf_event":
      return attachPerfEvent(program, hook, unwrap);
    case "trace":
      return attachTrace(program, hook, unwrap);
    case "freplace":
      return attachFreplace(program, hook, unwrap);
    case "netkit":
      return attachNetkit(program, hook, unwrap);
    case "struct_ops":
      throw new TypeError(`program ${program.spec.name}: struct_ops are attached as a whole (StructOps.attach)`);
  }
}
