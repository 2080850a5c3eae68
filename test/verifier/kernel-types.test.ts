/**
 * Kernel functions and kernel types: small programs with the verdict that they must have, ours and the running kernel's
 * held to the same. Needs a kernel with BTF.
 */
import { assemble } from "@ebplane/core/asm";
import { readElf } from "@ebplane/core/elf";
import { AttachType, type CollectionSpec, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { kernelAvailable } from "@ebplane/linux";
import { describe, expect, test } from "vitest";
import { clang, missingTool } from "../../packages/core/test/objects/tools.ts";
import { ours, theirs } from "./verdicts.ts";

const kernel = kernelAvailable();
const P = ProgType;
const XDP = { type: P.BPF_PROG_TYPE_XDP, attachType: AttachType.BPF_XDP };
const TC = { type: P.BPF_PROG_TYPE_SCHED_CLS, attachType: 0 };
const TASK = { type: P.BPF_PROG_TYPE_TRACING, attachType: AttachType.BPF_TRACE_RAW_TP, attachTo: "task_newtask" };
const TASKS = { type: P.BPF_PROG_TYPE_TRACING, attachType: AttachType.BPF_TRACE_ITER, attachTo: "task" };

const slice = (size: number, checked: boolean, use: string) => `
  r6 = r1
  r2 = 0
  r3 = r10
  r3 += -16
  call kfunc[bpf_dynptr_from_xdp]
  r1 = r10
  r1 += -16
  r2 = 0
  r3 = 0
  r4 = ${size}
  call kfunc[bpf_dynptr_slice]
  ${checked ? "if r0 == 0 goto out" : ""}
  ${use}
  out: r0 = 2
  exit`;
const loop = (end: string, body = "") => `
  r1 = r10
  r1 += -8
  r2 = 0
  r3 = 10
  call kfunc[bpf_iter_num_new]
  again: r1 = r10
  r1 += -8
  call kfunc[bpf_iter_num_next]
  if r0 == 0 goto done
  ${body}
  goto again
  done: r1 = r10
  r1 += -8
  ${end}
  r0 = 2
  exit`;
const acquire = (rest: string) => `
  r1 = *(u64 *)(r1 +0)
  call kfunc[bpf_task_acquire]
  ${rest}
  r0 = 0
  exit`;
const OK = "accept";
const NO = "reject";

type Case = readonly [what: string, verdict: string, at: Partial<ProgramSpec>, text: string, license?: string];
const CASES: readonly Case[] = [
  ["a slice of the packet is read after its check", OK, XDP, slice(14, true, "r1 = *(u16 *)(r0 +12)")],
  ["a slice may be NULL", NO, XDP, slice(14, false, "r1 = *(u16 *)(r0 +12)")],
  ["a slice ends", NO, XDP, slice(14, true, "r1 = *(u16 *)(r0 +13)")],
  ["a slice is read-only", NO, XDP, slice(14, true, "*(u16 *)(r0 +12) = 0")],
  [
    "a slice is gone when the packet moved",
    NO,
    XDP,
    slice(14, true, "r7 = r0\nr1 = r6\nr2 = 0\ncall 44\nr1 = *(u16 *)(r7 +12)"),
  ],
  [
    "writing through an XDP dynptr keeps its slices",
    OK,
    XDP,
    slice(
      14,
      true,
      "r7 = r0\n*(u64 *)(r10 -24) = 0\nr1 = r10\nr1 += -16\nr2 = 0\nr3 = r10\nr3 += -24\nr4 = 8\nr5 = 0\ncall 202\nr1 = *(u16 *)(r7 +12)",
    ),
  ],
  ["a loop over numbers", OK, XDP, loop("call kfunc[bpf_iter_num_destroy]")],
  ["with the number read", OK, XDP, loop("call kfunc[bpf_iter_num_destroy]", "r1 = *(u32 *)(r0 +0)")],
  ["an iterator is ended", NO, XDP, loop("")],
  ["an iterator is begun", NO, XDP, "r1 = r10\nr1 += -8\ncall kfunc[bpf_iter_num_next]\nr0 = 2\nexit"],
  ["an iterator is not overwritten", NO, XDP, loop("call kfunc[bpf_iter_num_destroy]", "*(u64 *)(r10 -8) = 0")],
  ["a section under RCU", OK, TC, "call kfunc[bpf_rcu_read_lock]\ncall kfunc[bpf_rcu_read_unlock]\nr0 = 0\nexit"],
  ["RCU is left", NO, TC, "call kfunc[bpf_rcu_read_lock]\nr0 = 0\nexit"],
  ["RCU was entered", NO, TC, "call kfunc[bpf_rcu_read_unlock]\nr0 = 0\nexit"],
  ["preemption is enabled again", NO, TC, "call kfunc[bpf_preempt_disable]\nr0 = 0\nexit"],
  [
    "interrupts are restored in order",
    NO,
    TC,
    `r1 = r10
     r1 += -8
     call kfunc[bpf_local_irq_save]
     r1 = r10
     r1 += -16
     call kfunc[bpf_local_irq_save]
     r1 = r10
     r1 += -8
     call kfunc[bpf_local_irq_restore]
     r1 = r10
     r1 += -16
     call kfunc[bpf_local_irq_restore]
     r0 = 0
     exit`,
  ],
  [
    "kernel functions need the GPL",
    NO,
    TC,
    "call kfunc[bpf_rcu_read_lock]\ncall kfunc[bpf_rcu_read_unlock]\nr0 = 0\nexit",
    "MIT",
  ],
  [
    "XDP has no tasks",
    NO,
    { ...TC, type: P.BPF_PROG_TYPE_SOCKET_FILTER },
    "r1 = 1\ncall kfunc[bpf_task_from_pid]\nr0 = 0\nexit",
  ],
  ["an exception", OK, XDP, "r1 = 1\ncall kfunc[bpf_throw]\nr0 = 2\nexit"],
  ["a traced argument is read", OK, TASK, "r1 = *(u64 *)(r1 +0)\nr2 = *(u64 *)(r1 +0)\nr0 = 0\nexit"],
  ["and not written", NO, TASK, "r1 = *(u64 *)(r1 +0)\n*(u64 *)(r1 +0) = 0\nr0 = 0\nexit"],
  ["nor read beyond the struct", NO, TASK, "r1 = *(u64 *)(r1 +0)\nr2 = *(u64 *)(r1 +32000)\nr0 = 0\nexit"],
  ["nor from before it", NO, TASK, "r1 = *(u64 *)(r1 +0)\nr2 = *(u64 *)(r1 -8)\nr0 = 0\nexit"],
  ["an argument that is not there", NO, TASK, "r1 = *(u64 *)(r1 +80)\nr0 = 0\nexit"],
  ["half an argument", NO, TASK, "r1 = *(u32 *)(r1 +0)\nr0 = 0\nexit"],
  ["a task is acquired and released", OK, TASK, acquire("if r0 == 0 goto +2\nr1 = r0\ncall kfunc[bpf_task_release]")],
  ["not without a check", NO, TASK, acquire("r1 = r0\ncall kfunc[bpf_task_release]")],
  ["not without the release", NO, TASK, acquire("")],
  [
    "nor twice",
    NO,
    TASK,
    acquire(
      "if r0 == 0 goto +5\nr6 = r0\nr1 = r0\ncall kfunc[bpf_task_release]\nr1 = r6\ncall kfunc[bpf_task_release]",
    ),
  ],
  [
    "what was not acquired is not released",
    NO,
    TASK,
    "r1 = *(u64 *)(r1 +0)\ncall kfunc[bpf_task_release]\nr0 = 0\nexit",
  ],
  ["an iterator's object may be NULL", NO, TASKS, "r1 = *(u64 *)(r1 +8)\nr2 = *(u64 *)(r1 +0)\nr0 = 0\nexit"],
  [
    "and is read after a check",
    OK,
    TASKS,
    "r1 = *(u64 *)(r1 +8)\nif r1 == 0 goto +1\nr2 = *(u64 *)(r1 +0)\nr0 = 0\nexit",
  ],
  ["an iterator returns 0 or 1", NO, TASKS, "r0 = 2\nexit"],
];

describe.skipIf(!kernel.ok)(`kernel functions and types${kernel.ok ? "" : ` (skipped: ${kernel.reason})`}`, () => {
  for (const [what, verdict, at, text, license = "GPL"] of CASES) {
    test(`${what}: ${verdict}`, () => {
      const { code, relocs, lineInfo } = assemble(text);
      const base = { name: "test", section: "", attachType: 0, flags: 0, funcInfo: [] };
      const program: ProgramSpec = { ...base, type: 0, code, relocs, lineInfo, ...at };
      const spec: CollectionSpec = {
        programs: new Map([["test", program]]),
        maps: new Map(),
        license,
        byteOrder: "little",
      };
      const [own, asked] = [ours(spec, program), theirs(spec, program)];
      // Where this kernel's build lacks the function there is no verdict to compare with.
      if (asked.verdict !== "error") expect(asked, asked.message).toMatchObject({ verdict });
      expect(own, own.message).toMatchObject({ verdict });
    });
  }
});

test.skipIf(!kernel.ok || missingTool("clang"))(
  "a congestion control has socket options, but not in its release, and no get_info",
  () => {
    const spec = readElf(
      clang(
        `#define SEC(name) __attribute__((section(name), used))
      static long (*setsockopt)(void *, int, int, void *, int) = (void *)49;
      static long option(unsigned long long *ctx) { int v = 1; return setsockopt((void *)ctx[0], 6, 1, &v, sizeof(v)); }
      SEC("struct_ops") void start(unsigned long long *ctx) { option(ctx); }
      SEC("struct_ops") void stop(unsigned long long *ctx) { option(ctx); }
      SEC("struct_ops") unsigned long info(unsigned long long *ctx) { return 0; }
      struct sock; struct tcp_congestion_ops {
        void (*init)(struct sock *); void (*release)(struct sock *); unsigned long (*get_info)(struct sock *); char name[16];
      };
      SEC(".struct_ops.link") struct tcp_congestion_ops cc = { .init = (void *)start, .release = (void *)stop, .get_info = (void *)info, .name = "x" };
      char LICENSE[] SEC("license") = "GPL";`,
        "-g",
      ),
    );
    const verdicts = (name: string) => [ours, theirs].map((ask) => ask(spec, spec.programs.get(name)!).verdict);
    expect(verdicts("start")).toEqual([OK, OK]);
    expect(verdicts("stop")).toEqual([NO, NO]);
    expect(verdicts("info")).toEqual([NO, NO]);
  },
);
