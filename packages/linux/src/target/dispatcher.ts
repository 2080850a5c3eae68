/**
 * Several XDP programs on one device. An XDP link is exclusive, so the programs are composed into one: an entry that
 * calls each as a subprogram, in order of priority, and goes on to the next when the verdict is one of its chain-call
 * actions. Adding or removing one loads a new composition and puts it in place atomically.
 *
 * libxdp replaces the functions of a fixed dispatcher instead (BPF_PROG_TYPE_EXT), which a locked-down kernel refuses;
 * a composition runs everywhere. Its price: the members are verified together and have one id and run statistic.
 * Beside an XDP program that is not ours the first `add` fails with EBUSY.
 */
import { concatBytes } from "@ebplane/core/bytes";
import { UnsupportedError } from "@ebplane/core/errors";
import {
  BPF_CALL,
  BPF_JMP,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  decode,
  encode,
  type InsnInit,
  OP_EXIT,
  OP_LDDW,
  SLOT,
} from "@ebplane/core/isa";
import {
  BPF_F_XDP_HAS_FRAGS,
  isGplCompatible,
  type Program,
  type ProgramSpec,
  ProgType,
  XdpAction,
  type XdpActionName,
  type XdpHook,
} from "@ebplane/core/object";
import { Cmd, cmdName, LinuxProgram, progLoad } from "../bpf/index.ts";
import type { BpfLink } from "../link/index.ts";
import { sysError } from "../sys/index.ts";
import { attachTypeOf, linuxProgram, verifierError } from "./load.ts";
import type { LinuxTarget } from "./target.ts";

/** As many as libxdp's dispatcher has. */
export const MAX_CHAIN = 10;

export interface ChainOptions {
  /** Lower runs first; equal ones in the order they were added. 50 when absent, as in libxdp. */
  readonly priority?: number;
  /** Verdicts after which the next program runs; XDP_PASS when absent. */
  readonly chainCallActions?: readonly XdpActionName[];
}

/** What of a program a composition is made of. */
export type Composable = Pick<LinuxProgram, "code" | "license"> & {
  readonly spec: Pick<ProgramSpec, "name" | "type" | "attachType" | "flags" | "lineInfo">;
};

interface Member<P extends Composable = Composable> {
  readonly program: P;
  readonly priority: number;
  readonly mask: number;
}

/** A member of a chain and its place in it. */
export interface ChainMember extends ChainOptions {
  readonly program: Composable;
}

export const DEFAULT_PRIORITY = 50;
export const DEFAULT_CHAIN_CALL: readonly XdpActionName[] = ["XDP_PASS"];

export class XdpDispatcher {
  readonly #target: LinuxTarget;
  readonly #hook: XdpHook;
  #members: readonly Member<LinuxProgram>[] = [];
  #current: LinuxProgram | undefined;
  #link: BpfLink<XdpHook> | undefined;

  /** Nothing is attached before the first `add`. */
  constructor(target: LinuxTarget, hook: XdpHook) {
    this.#target = target;
    this.#hook = hook;
  }

  /** The link of the composition, while there is a member. */
  get link(): BpfLink<XdpHook> | undefined {
    return this.#link;
  }

  /** The members, first to run first. */
  get programs(): readonly Program[] {
    return this.#members.map(({ program }) => program);
  }

  /**
   * Takes a program into the chain. It must stay open as long as it is a member.
   * @throws RangeError for an eleventh, VerifierError when the composition is refused; the chain is then as before.
   */
  add(program: Program, options: ChainOptions = {}): void {
    const member = linuxProgram(program);
    if (member.spec.type !== ProgType.BPF_PROG_TYPE_XDP) {
      throw new TypeError(`program ${member.spec.name}: expected an xdp program`);
    }
    this.#install(ordered([...this.#members, { program: member, ...placeOf(options) }]));
  }

  /** Takes a program out. False when it is not a member. The last one detaches. */
  remove(program: Program): boolean {
    const index = this.#members.findIndex((m) => m.program === program);
    if (index < 0) return false;
    this.#install(this.#members.toSpliced(index, 1));
    return true;
  }

  #install(members: readonly Member<LinuxProgram>[]): void {
    if (members.length === 0) {
      this.close();
      return;
    }
    const next = compose(members);
    try {
      if (this.#link) this.#link.update(next);
      else this.#link = this.#target.attach(next, this.#hook);
    } catch (error) {
      next.close();
      throw error;
    }
    this.#current?.close();
    this.#current = next;
    this.#members = members;
  }

  close(): void {
    this.#link?.close();
    this.#current?.close();
    this.#link = undefined;
    this.#current = undefined;
    this.#members = [];
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * One program of several, in order of priority, each run when the verdict of the one before it is one of its chain-call
 * actions: for an attachment that is made once. Close it like any other; the members may be closed before.
 * @throws RangeError for more than ten, VerifierError when the composition is refused.
 */
export function chainPrograms(members: readonly ChainMember[]): LinuxProgram {
  return compose(ordered(members.map((member) => ({ program: member.program, ...placeOf(member) }))));
}

/** Members as they run: by priority, equal ones as they came. */
export function ordered<M extends { readonly priority: number }>(members: readonly M[]): M[] {
  return members.toSorted((a, b) => a.priority - b.priority);
}

function placeOf({ priority = DEFAULT_PRIORITY, chainCallActions = DEFAULT_CHAIN_CALL }: ChainOptions) {
  return { priority, mask: actionMask(chainCallActions) };
}

/** Verdicts as bits, a bit for each action's number. */
export function actionMask(actions: readonly XdpActionName[]): number {
  return actions.reduce((mask, action) => mask | (1 << XdpAction[action]), 0);
}

/** Slots that the entry spends on each member: move ctx, call, three for the verdict. */
const ENTRY_SLOTS = 7;

function compose(members: readonly Member[]): LinuxProgram {
  if (members.length > MAX_CHAIN) throw new RangeError(`chain: expected at most ${MAX_CHAIN} programs`);
  const entry: InsnInit[] = [{ opcode: 0xbf, dst: 6, src: 1 }]; // r6 = ctx
  const entrySlots = 1 + members.length * ENTRY_SLOTS + 1;
  let flags = 0;
  let frags = BPF_F_XDP_HAS_FRAGS;
  let at = entrySlots;
  members.forEach(({ program, mask }, i) => {
    refuseCallbacks(program);
    flags |= program.spec.flags & ~BPF_F_XDP_HAS_FRAGS;
    // One that cannot take packets of several buffers must not get any, as in libxdp's dispatcher.
    frags &= program.spec.flags;
    const slot = 1 + i * ENTRY_SLOTS;
    entry.push(
      { opcode: 0xbf, dst: 1, src: 6 }, // r1 = ctx
      { opcode: BPF_JMP | BPF_CALL, src: BPF_PSEUDO_CALL, imm: at - (slot + 1) - 1 },
      // Go on when bit r0 of the mask is set. Verdicts above 63 are no actions: the shift takes them modulo 64.
      { opcode: 0x25, dst: 0, off: 3, imm: 31 }, // if r0 > 31 goto exit
      { opcode: 0xb7, dst: 1, imm: mask },
      { opcode: 0x7f, dst: 1, src: 0 }, // r1 >>= r0
      { opcode: 0x45, dst: 1, off: 1, imm: 1 }, // if r1 & 1 goto next
      { opcode: OP_EXIT },
    );
    at += program.code.length / SLOT;
  });
  entry.push({ opcode: OP_EXIT });
  const code = concatBytes([encode(entry), ...members.map(({ program }) => program.code)]);
  const spec: ProgramSpec = {
    name: "ebplane_chain",
    section: "xdp",
    type: ProgType.BPF_PROG_TYPE_XDP,
    attachType: attachTypeOf(members[0]!.program.spec),
    flags: flags | frags,
    code,
    relocs: [],
    funcInfo: [],
    lineInfo: membersLines(members, entrySlots),
  };
  // The strictest member decides: GPL-only helpers are then refused, as they would be alone.
  const license = members.find(({ program }) => !isGplCompatible(program.license))?.program.license ?? "GPL";
  const { fd, log } = progLoad({
    type: spec.type,
    code,
    license,
    name: spec.name,
    flags: spec.flags,
    expectedAttachType: spec.attachType,
  });
  if (fd < 0) {
    const cause = sysError(cmdName(Cmd.PROG_LOAD), -fd, spec.name);
    throw log.trim() === "" ? cause : verifierError(spec, log, cause);
  }
  return new LinuxProgram(fd, spec, { code, license });
}

/** The members' source lines where their code now stands: a refusal names the line all the same. */
function membersLines(members: readonly Member[], first: number): ProgramSpec["lineInfo"] {
  let at = first;
  return members.flatMap(({ program }) => {
    const base = at;
    at += program.code.length / SLOT;
    return program.spec.lineInfo.map((line) => ({ ...line, pc: line.pc + base }));
  });
}

/** Callbacks need func info, and the members' BTF are different objects. */
function refuseCallbacks(program: Composable): void {
  const callback = decode(program.code).find((insn) => insn.opcode === OP_LDDW && insn.src === BPF_PSEUDO_FUNC);
  if (callback) {
    throw new UnsupportedError(
      "chain",
      `program ${program.spec.name}: slot ${callback.pc}: a callback cannot be chained`,
    );
  }
}
