/**
 * Programs that replace a global function of another program (freplace). They are verified as that function: by the
 * parameters that their own BTF declares, and with the ctx, helpers and result range of the other program's type. Where
 * that program is not at hand, its type is what the ctx parameter's struct says most often, and the report says so.
 *
 * Source: kernel/bpf/verifier.c `bpf_check_attach_target`, `check_attach_btf_id`; kernel/bpf/btf.c
 * `btf_check_func_type_match`.
 */
import { type Btf, type BtfFunc, type BtfFuncProto, resolve } from "../../btf/index.ts";
import {
  AttachType,
  ctxLayout,
  exceptionCallback,
  type MapSpec,
  type ProgramSpec,
  ProgType,
  progTypeName,
} from "../../object/index.ts";
import { analyse } from "../cfg/cfg.ts";
import { Refusal } from "../context.ts";
import type { Profile } from "../profile.ts";
import { kfuncsOf } from "./kfuncs-called.ts";
import { changesPacket } from "./packet-changes.ts";
import { signatures } from "./signature.ts";

/** The program one of whose functions is replaced, and what its object has. */
export interface ExtensionTarget {
  readonly program: ProgramSpec;
  readonly btf: Btf | undefined;
  readonly maps: ReadonlyMap<string, MapSpec>;
  readonly license: string;
}

export interface Extension {
  /** The program that counts for types: the extending one as if it were of its target's type and attach type. */
  readonly as: ProgramSpec;
  /** What was taken for granted, as a sentence; undefined when the target was given. */
  readonly assumed: string | undefined;
}

/** Types by the struct that their ctx is declared as, where that says it all but for `others`. */
const BY_CTX: Readonly<Record<string, readonly [type: number, attachType: number, others?: string]>> = {
  xdp_md: [ProgType.BPF_PROG_TYPE_XDP, AttachType.BPF_XDP],
  __sk_buff: [ProgType.BPF_PROG_TYPE_SCHED_CLS, 0, "socket filters, cgroup_skb, LWT and others have it, too"],
  bpf_sock_ops: [ProgType.BPF_PROG_TYPE_SOCK_OPS, AttachType.BPF_CGROUP_SOCK_OPS],
  sk_msg_md: [ProgType.BPF_PROG_TYPE_SK_MSG, AttachType.BPF_SK_MSG_VERDICT],
  bpf_sk_lookup: [ProgType.BPF_PROG_TYPE_SK_LOOKUP, AttachType.BPF_SK_LOOKUP],
  sk_reuseport_md: [ProgType.BPF_PROG_TYPE_SK_REUSEPORT, AttachType.BPF_SK_REUSEPORT_SELECT],
  bpf_sysctl: [ProgType.BPF_PROG_TYPE_CGROUP_SYSCTL, AttachType.BPF_CGROUP_SYSCTL],
  bpf_cgroup_dev_ctx: [ProgType.BPF_PROG_TYPE_CGROUP_DEVICE, AttachType.BPF_CGROUP_DEVICE],
  bpf_nf_ctx: [ProgType.BPF_PROG_TYPE_NETFILTER, AttachType.BPF_NETFILTER],
  bpf_perf_event_data: [ProgType.BPF_PROG_TYPE_PERF_EVENT, 0],
  pt_regs: [ProgType.BPF_PROG_TYPE_KPROBE, 0],
  bpf_user_pt_regs_t: [ProgType.BPF_PROG_TYPE_KPROBE, 0],
};

/** Structs of types that the attach type splits further: what is allowed is not known without the target. */
const BY_HOOK: ReadonlySet<string> = new Set(["bpf_sock_addr", "bpf_sock", "bpf_sockopt"]);

const NAME_TARGET = "name the object with the program that is extended (--target-prog FILE#NAME)";

function refuse(message: string, fix?: string): never {
  throw new Refusal("reject", "extension", message, 0, undefined, fix);
}

/** What `program` is verified as. Throws Refusal. */
export function extensionOf(
  program: ProgramSpec,
  btf: Btf | undefined,
  target: ExtensionTarget | undefined,
  profile: Profile,
): Extension {
  const own = btf && functionAt(program, btf, 0);
  if (!btf || !own)
    refuse("a program that extends another one needs BTF of its function", "build with debug info (-g)");
  if (own.func.linkage !== "global") {
    refuse(`${own.func.name} is static: only a global function can replace another one`, "do not declare it static");
  }
  if (!target) return assumed(program, btf, own.proto);
  checkTarget(program, own, btf, target, profile);
  const { type, attachType, attachTo } = target.program;
  return { as: { ...program, type, attachType, ...(attachTo !== undefined && { attachTo }) }, assumed: undefined };
}

function assumed(program: ProgramSpec, btf: Btf, proto: BtfFuncProto): Extension {
  const replaced = program.attachTo ? `function ${program.attachTo}` : "a function";
  const as = (type: number, attachType: number, why: string): Extension => ({
    as: { ...program, type, attachType },
    assumed: `that it replaces ${replaced} of a program of type ${progTypeName(type)} that is declared alike: ${why}`,
  });
  for (const { type } of proto.params) {
    for (const name of structNames(btf, type)) {
      if (BY_HOOK.has(name)) {
        const message = `the program replaces ${replaced} with a ${name}, whose hook decides what is allowed`;
        throw new Refusal("unsupported", "extension", message, 0, undefined, NAME_TARGET);
      }
      const known = BY_CTX[name];
      if (!known) continue;
      const [progType, attachType, others] = known;
      return as(progType, attachType, `its parameter is a ${name}${others ? ` (${others})` : ""}`);
    }
  }
  return as(ProgType.BPF_PROG_TYPE_XDP, AttachType.BPF_XDP, "no parameter of it is a ctx, so any type is as likely");
}

/** What a pointer's target is called: each typedef on the way, and the struct. */
function structNames(btf: Btf, id: number): string[] {
  const pointer = btf.type(resolve(btf, id));
  if (pointer.kind !== "ptr") return [];
  const names: string[] = [];
  let type = btf.type(pointer.type);
  for (;;) {
    if (type.kind === "typedef") names.push(type.name);
    else if (type.kind !== "const" && type.kind !== "volatile" && type.kind !== "restrict" && type.kind !== "typeTag") {
      return type.kind === "struct" || type.kind === "fwd" ? [...names, type.name] : names;
    }
    type = btf.type(type.type);
  }
}

interface Declared {
  readonly func: BtfFunc;
  readonly proto: BtfFuncProto;
}

function functionAt(program: ProgramSpec, btf: Btf, at: number): Declared | undefined {
  const info = program.funcInfo.find(({ pc }) => pc === at);
  const func = info && info.typeId < btf.length ? btf.type(info.typeId) : undefined;
  const proto = func?.kind === "func" ? btf.type(func.type) : undefined;
  return func?.kind === "func" && proto?.kind === "funcProto" ? { func, proto } : undefined;
}

/** First pc of the function called `name` in the program; undefined when it has none. */
export function functionCalled(
  { program, btf }: Pick<ExtensionTarget, "program" | "btf">,
  name: string,
): number | undefined {
  if (!btf) return undefined;
  return program.funcInfo.find(({ pc }) => functionAt(program, btf, pc)?.func.name === name)?.pc;
}

function checkTarget(program: ProgramSpec, own: Declared, btf: Btf, target: ExtensionTarget, profile: Profile): void {
  const { attachTo } = program;
  const { type, attachType, name } = target.program;
  if (attachTo === undefined) {
    refuse("the program does not say which function it replaces", "name it in the section, as in freplace/NAME");
  }
  if (type === ProgType.BPF_PROG_TYPE_EXT) refuse(`${name} extends another program itself: it cannot be extended`);
  const watches = attachType === AttachType.BPF_TRACE_FENTRY || attachType === AttachType.BPF_TRACE_FEXIT;
  if (type === ProgType.BPF_PROG_TYPE_TRACING && watches) refuse(`${name} watches a function: it cannot be extended`);
  if (!target.btf) refuse(`${name}, the program that is extended, has no BTF`);
  const at = functionCalled(target, attachTo);
  if (at === undefined) {
    const names = target.program.funcInfo.map(({ pc }) => functionAt(target.program, target.btf!, pc)?.func.name);
    refuse(
      `program ${name} has no function ${attachTo} to replace; it has ${names.filter(Boolean).join(", ") || "none"}`,
    );
  }
  const replaced = functionAt(target.program, target.btf, at)!;
  if (at === exceptionCallback(target.program, target.btf)?.pc) {
    refuse(`${attachTo} is the exception callback of ${name}: it cannot be replaced`);
  }
  if (replaced.func.linkage !== "global") refuse(`${attachTo} of ${name} is static: it cannot be replaced`);
  if (at === 0) {
    const struct = ctxLayout(type, attachType)?.struct;
    const params = signatures(target.program, target.btf, struct, true).get(0)?.params;
    if (params?.length !== 1 || params[0]!.kind !== "ctx") {
      refuse(`${attachTo}, the program itself, is not declared with its ctx alone: it cannot be replaced`);
    }
  }
  const differs = difference(btf, own, target.btf, replaced);
  if (differs) refuse(`${own.func.name} cannot replace ${attachTo} of ${name}: ${differs}`);
  if (profile.version < KEEPS_PACKET) return;
  const changes = (p: ProgramSpec, types: Btf, start: number): boolean => {
    const analysed = analyse(p.code, profile, kfuncsOf(p), exceptionCallback(p, types)?.pc);
    return changesPacket(analysed, start, type, p.relocs);
  };
  if (!changes(program, btf, 0)) return;
  const theirs = changes(target.program, target.btf, at);
  if (!theirs) refuse(`${own.func.name} changes packet data and ${attachTo} of ${name} does not`);
}

/** Kernels compare what the two do to the packet since 6.13, and in later stable releases of older ones. */
const KEEPS_PACKET = 613;

/** How the declarations differ. Names of numbers' types do not matter, nor their sign. */
function difference(btf: Btf, own: Declared, btf2: Btf, other: Declared): string | undefined {
  const count = own.proto.params.length;
  if (count !== other.proto.params.length)
    return `the number of parameters is ${count}, not ${other.proto.params.length}`;
  const [ret, ret2] = [shape(btf, own.proto.ret), shape(btf2, other.proto.ret)];
  // The kernel looks at the kind of the result, not at its size.
  if (ret.kind !== ret2.kind) return `it returns ${ret.kind}, not ${ret2.kind}`;
  for (let i = 0; i < count; i++) {
    const [id, id2] = [own.proto.params[i]!.type, other.proto.params[i]!.type];
    const [a, b] = [shape(btf, id), shape(btf2, id2)];
    const place = `parameter ${i + 1}`;
    if (a.kind !== b.kind) return `${place} is ${a.kind}, not ${b.kind}`;
    if (a.size !== b.size) return `${place} has ${a.size} bytes, not ${b.size}`;
    if (a.kind !== "ptr") {
      if (a.size === undefined) return `${place} is neither a number nor a pointer`;
      continue;
    }
    const [to, to2] = [pointedTo(btf, id), pointedTo(btf2, id2)];
    if (to === undefined || to2 === undefined) return `${place} is a pointer to no struct`;
    if (to !== to2) return `${place} points to a ${to}, not to a ${to2}`;
  }
  return undefined;
}

/** Kind of type, and its size for numbers. */
function shape(btf: Btf, id: number): { readonly kind: string; readonly size: number | undefined } {
  const type = btf.type(resolve(btf, id));
  if (type.kind === "enum" || type.kind === "enum64") {
    return { kind: `an ${type.kind} of ${type.values.length} values`, size: type.size };
  }
  return { kind: type.kind, size: type.kind === "int" ? type.size : undefined };
}

function pointedTo(btf: Btf, id: number): string | undefined {
  const pointer = btf.type(resolve(btf, id));
  const to = pointer.kind === "ptr" ? btf.type(resolve(btf, pointer.type)) : undefined;
  return to?.kind === "struct" || to?.kind === "union" ? to.name : undefined;
}
