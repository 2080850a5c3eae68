/** The kfunc table against the running kernel's BTF, and its program types against what PROG_LOAD answers. */
import { closeSync, existsSync } from "node:fs";
import { resolve } from "@ebplane/core/btf";
import { encode, OP_CALL, OP_EXIT } from "@ebplane/core/isa";
import {
  AttachType,
  KFUNC_PROTOS,
  KFUNCS,
  type Kfunc,
  type KfuncArg,
  kfuncAllowed,
  ProgType,
} from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import { type ProgLoad, progLoad } from "../bpf/index.ts";
import { kernelOlder, kernelSkipReason } from "../testing.ts";
import { kernelBtf } from "./kernel-btf.ts";

const skip =
  kernelSkipReason() ??
  (!existsSync("/sys/kernel/btf/vmlinux")
    ? "the kernel has no BTF"
    : kernelOlder("6.18") || !kernelOlder("6.19")
      ? "the table says what 6.18 has"
      : undefined);
const T = ProgType;
const SLEEPABLE = 1 << 4;

/** What the kernel reads in a parameter's name. Source: kernel/bpf/verifier.c `__kfunc_param_match_suffix` and its users. */
const SUFFIXES: readonly [string, (arg: KfuncArg) => boolean][] = [
  ["__sz", (a) => a.kind === "size"],
  ["__szk", (a) => a.kind === "constantSize"],
  ["__k", (a) => a.kind === "constant"],
  ["__uninit", (a) => a.uninit],
  ["__opt", (a) => a.orNull],
  ["__nullable", (a) => a.orNull],
  ["__alloc", (a) => a.kind === "object"],
  ["__refcounted_kptr", (a) => a.kind === "refcounted"],
  ["__str", (a) => a.kind === "str"],
  ["__map", (a) => a.kind === "map"],
  ["__irq_flag", (a) => a.kind === "irqFlag"],
  ["__prog", (a) => a.kind === "hidden"],
  ["__ign", (a) => a.kind === "unchecked" || a.kind === "hidden" || a.kind === "arena"],
];

/** The smallest load of a type that gets as far as looking at instructions; undefined for those that need more. */
function place(type: number): Partial<ProgLoad> | undefined {
  const btf = kernelBtf();
  switch (type) {
    case T.BPF_PROG_TYPE_TRACING:
      return {
        expectedAttachType: AttachType.BPF_TRACE_RAW_TP,
        attachBtfId: btf.find("btf_trace_sched_switch", "typedef")!,
      };
    case T.BPF_PROG_TYPE_STRUCT_OPS:
      return { attachBtfId: btf.find("tcp_congestion_ops", "struct")! };
    case T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return { expectedAttachType: AttachType.BPF_CGROUP_INET4_CONNECT };
    case T.BPF_PROG_TYPE_CGROUP_SOCKOPT:
      return { expectedAttachType: AttachType.BPF_CGROUP_SETSOCKOPT };
    case T.BPF_PROG_TYPE_SK_LOOKUP:
      return { expectedAttachType: AttachType.BPF_SK_LOOKUP };
    case T.BPF_PROG_TYPE_NETFILTER:
      return { expectedAttachType: AttachType.BPF_NETFILTER };
    case T.BPF_PROG_TYPE_SYSCALL:
      return { flags: SLEEPABLE };
    case T.BPF_PROG_TYPE_UNSPEC:
    case T.BPF_PROG_TYPE_LSM:
    case T.BPF_PROG_TYPE_EXT:
    case T.BPF_PROG_TYPE_LIRC_MODE2:
      return undefined;
    default:
      return {};
  }
}

/** Bound to a device, to iterators over sockets, to kprobe sessions: the program type alone does not tell. */
const NARROWER = /^bpf_(xdp_metadata_|sock_destroy|session_)/;

describe.skipIf(skip)(`the kfunc table${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const present: Kfunc[] = skip
    ? []
    : [...KFUNCS.values()].filter((k) => kernelBtf().find(k.name, "func") !== undefined);

  test("has the prototypes that the kernel has", () => {
    const btf = kernelBtf();
    const spell = (id: number): string => {
      const t = btf.type(resolve(btf, id));
      switch (t.kind) {
        case "int":
          if (t.encoding === "bool") return "bool";
          return `${t.encoding === "signed" ? "i" : "u"}${t.size * 8}`;
        case "enum":
        case "enum64":
          return `enum-${t.name}`;
        case "union":
          return `union-${t.name}`;
        case "ptr":
          return `${spell(t.type)}*`;
        case "funcProto":
          return "func";
        default:
          return t.name || t.kind;
      }
    };
    expect([...KFUNC_PROTOS.keys()].sort()).toEqual([...KFUNCS.keys()].sort());
    for (const { name } of present) {
      const func = btf.type(btf.find(name, "func")!);
      const proto = btf.type(func.kind === "func" ? func.type : 0);
      if (proto.kind !== "funcProto") throw new Error(`${name} has no prototype`);
      const params = proto.params.map((p) => ({ name: p.name, type: spell(p.type) }));
      expect({ name, result: spell(proto.ret), params }).toEqual({ name, ...KFUNC_PROTOS.get(name)! });
    }
  });

  test("has the parameters that the kernel has", () => {
    const btf = kernelBtf();
    expect(present.length).toBeGreaterThan(100);
    for (const { name, args, result } of present) {
      const func = btf.type(btf.find(name, "func")!);
      const proto = func.kind === "func" ? btf.type(func.type) : func;
      if (proto.kind !== "funcProto") throw new Error(`${name} has no prototype`);
      expect(args.length, name).toBe(proto.params.length);
      expect(result.kind === "void", name).toBe(proto.ret === 0);
      proto.params.forEach((param, i) => {
        for (const [suffix, fits] of SUFFIXES) {
          if (param.name.endsWith(suffix)) expect(fits(args[i]!), `${name} ${param.name}`).toBe(true);
        }
      });
    }
  });

  test("names the program types that the kernel lets call", () => {
    const btf = kernelBtf();
    const wrong: string[] = [];
    for (const kfunc of present) {
      if (NARROWER.test(kfunc.name)) continue;
      const imm = btf.find(kfunc.name, "func")!;
      const code = encode([{ opcode: OP_CALL, src: 2, imm }, { opcode: OP_EXIT }]);
      for (const [name, type] of Object.entries(T)) {
        const where = place(type);
        if (!where) continue;
        const { fd, log } = progLoad({ type, code, logLevel: 1, ...where });
        if (fd >= 0) closeSync(fd);
        const allowed = !/is not allowed/.test(log);
        if (allowed !== kfuncAllowed(kfunc, type)) wrong.push(`${kfunc.name} ${name}: the kernel says ${allowed}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
