/**
 * The kernel that a build is for: which forms of code it may use, and what programs ask of a kernel at all. Where the
 * oldest form costs an instruction or two it is what is written when no kernel is named; where there is none, the need is
 * told with its place.
 *
 * Leaves out what only a walk of the code shows (how precise an older verifier is): `verify` with that kernel's profile
 * says it.
 */
import { decode, extensionOf, slotsOf } from "@ebplane/core/isa";
import {
  AttachType,
  attachTypeName,
  attachTypeSince,
  BPF_F_XDP_HAS_FRAGS,
  ctxLayout,
  helperById,
  KFUNCS,
  mapTypeName,
  mapTypeSince,
  progTypeName,
  progTypeSince,
} from "@ebplane/core/object";
import {
  FIELD_SINCE,
  helperSince,
  type KernelVersion,
  mapHelperSince,
  PROFILE_NAMES,
  RULES,
  versionNumber,
  versionText,
} from "@ebplane/core/verifier";
import { type Fn, type Insn, reversePostorder } from "./ir/index.ts";
import type { MapDecl, ProgramDecl } from "./lower/index.ts";

/** Which forms the code may take. */
export interface KernelForms {
  /** As it was named, `major.minor`; undefined where none was. */
  readonly kernel: KernelVersion | undefined;
  /** Division with sign is an instruction (cpu v4). */
  readonly signedDivision: boolean;
  /** A constant may be stored to the context by one instruction. */
  readonly contextConstants: boolean;
  /** Tags say that what a global function is given is never null. */
  readonly argumentTags: boolean;
  /** There is `bpf_iter_num`, the kernel's counter. */
  readonly counter: boolean;
}

/** Older ones are not distinguished: the verifier knows no rules of theirs. */
export const OLDEST_KERNEL = PROFILE_NAMES[0];

/** @throws RangeError where `kernel` is no version from 5.4 on. */
export function formsFor(kernel: KernelVersion | undefined): KernelForms {
  if (kernel === undefined) {
    // The counter has no older form: loops that want it are told.
    return { kernel, signedDivision: false, contextConstants: false, argumentTags: false, counter: true };
  }
  if (!/^\d+\.\d{1,2}$/.test(kernel) || versionNumber(kernel) < versionNumber(OLDEST_KERNEL)) {
    throw new RangeError(`kernel: expected a version from ${OLDEST_KERNEL} on, as 6.1, got ${kernel}`);
  }
  const has = (since: string): boolean => versionNumber(since) <= versionNumber(kernel);
  return {
    kernel,
    signedDivision: has(RULES.v4.since),
    contextConstants: has(RULES.contextConstants.since),
    argumentTags: has(RULES.argumentTags.since),
    counter: has(KFUNCS.get("bpf_iter_num_new")!.since),
  };
}

/** Something that not every kernel has. */
export interface KernelNeed {
  /** The version that brought it, `major.minor`. */
  readonly since: string;
  readonly what: string;
  /** Place in the source. */
  readonly at: number;
}

/** Hooks that the loader need not name: kernels older than the name have the hook. */
const UNNAMED: ReadonlySet<number> = new Set([AttachType.BPF_XDP, AttachType.BPF_SK_REUSEPORT_SELECT]);

/** Needs of a program: what it is, and what its functions (after optimising) call and touch. */
export function programNeeds(
  decl: ProgramDecl,
  functions: readonly Fn[],
  maps: ReadonlyMap<string, MapDecl>,
): KernelNeed[] {
  const { type, attachType, at } = decl;
  const needs: KernelNeed[] = [];
  const add = (since: string | number | undefined, what: string, place: number): void => {
    if (since) needs.push({ since: typeof since === "number" ? versionText(since) : since, what, at: place });
  };
  add(progTypeSince(type), `the program type ${progTypeName(type)}`, at);
  if (attachType && !UNNAMED.has(attachType)) {
    const name = attachTypeName(type, attachType) ?? `${attachType}`;
    add(attachTypeSince(attachType), `the hook ${name}`, at);
  }
  if (decl.flags & BPF_F_XDP_HAS_FRAGS) add(RULES.xdpFragments.since, "a packet in several fragments", at);
  const layout = ctxLayout(type, attachType);
  const insn = (i: Insn): void => {
    if ((i.op === "load" || i.op === "store") && i.region.kind === "ctx" && layout) {
      const field = layout.fields.find((f) => f.offset <= i.off && i.off < f.offset + f.size);
      const name = `${layout.struct}.${field?.name}`;
      add(FIELD_SINCE[name], `the field ${name}`, i.at);
    } else if (i.op === "call" && i.external !== undefined) {
      add(KFUNCS.get(i.external)?.since, i.external, i.at);
    } else if (i.op === "call" && !i.callee && !i.asm) {
      const helper = helperById(i.helper, type);
      if (!helper) return;
      const since = helperSince(helper, type);
      const where = since > versionNumber(helper.since) ? ` in ${progTypeName(type)} programs` : "";
      add(since, `bpf_${helper.name}${where}`, i.at);
      const map = i.args.find((a) => a.op === "map");
      const mapType = map?.op === "map" ? maps.get(map.name)?.type : undefined;
      if (mapType !== undefined) {
        add(mapHelperSince(helper.name, mapType), `bpf_${helper.name} on a map of type ${mapTypeName(mapType)}`, i.at);
      }
    }
  };
  for (const fn of functions) for (const b of reversePostorder(fn)) b.insns.forEach(insn);
  return needs;
}

/** Needs of the instructions themselves; `at` gives the place of the one at a pc. */
export function codeNeeds(code: Uint8Array, at: (pc: number) => number): KernelNeed[] {
  const needs: KernelNeed[] = [];
  let pc = 0;
  for (const insn of decode(code)) {
    const rule = extensionOf(insn);
    if (rule) needs.push({ since: RULES[rule].since, what: RULES[rule].what, at: at(pc) });
    pc += slotsOf(insn);
  }
  return needs;
}

/** What a map that is used needs. */
export function mapNeed(map: MapDecl): KernelNeed {
  const since = mapTypeSince(map.type)!;
  return { since, what: `the map type ${mapTypeName(map.type)} of ${map.name}`, at: map.at };
}

/** Those that `kernel` does not meet. */
export function unmet(needs: readonly KernelNeed[], kernel: string): KernelNeed[] {
  return needs.filter(({ since }) => versionNumber(since) > versionNumber(kernel));
}
