/**
 * Our walk beside the kernel's, insn by insn: what its log (level 2) says of registers must be what ours hold there. This
 * finds a rule that differs long before it decides over a program.
 *
 * Compared is the part that both walk alike: where one prunes and the other does not, they part, and that is no
 * difference. Ids are numbered by each in its own way and left out, as are the kernel's marks of precision.
 */
import type { MapSpec, ProgramSpec } from "@ebplane/core/object";
import { formatReg, Kind, verify } from "@ebplane/core/verifier";
import { cpuNumbersEnd } from "@ebplane/linux/bpf";

/** Registers as text, by name. */
type Texts = ReadonlyMap<string, string>;

interface Visit {
  readonly pc: number;
  /** Of the kernel: registers that it printed since the insn before. Of ours: all that are set. */
  readonly regs: Texts;
  /** How deep in calls; undefined where the kernel did not say. */
  readonly frame: number | undefined;
}

export interface StateComparison {
  /** The first difference, in words; undefined where there is none. */
  readonly difference: string | undefined;
  /** Insns that were walked by both, and registers that were compared there. */
  readonly insns: number;
  readonly registers: number;
}

/** @param log the kernel's, of level 2. */
export function compareStates(program: ProgramSpec, maps: ReadonlyMap<string, MapSpec>, log: string): StateComparison {
  const theirs = kernelVisits(log);
  const ours: Visit[] = [];
  verify(program, {
    maps,
    license: "GPL",
    cpus: cpuNumbersEnd(),
    observe(pc, { frame, frames }) {
      const set = frame.regs.flatMap((r, i): [string, string][] =>
        r.kind === Kind.NOT_INIT ? [] : [[`R${i}`, steady(formatReg(r))]],
      );
      ours.push({ pc, regs: new Map(set), frame: frames.length - 1 });
    },
  });
  let registers = 0;
  let insns = 0;
  for (; insns < Math.min(theirs.length, ours.length); insns++) {
    const mine = ours[insns]!;
    const { pc, regs, frame } = theirs[insns]!;
    if (pc !== mine.pc) break;
    if (frame !== undefined && frame !== mine.frame) continue;
    for (const [name, text] of regs) {
      const own = mine.regs.get(name) ?? "?";
      registers++;
      if (own === text) continue;
      // A fill that extends the sign keeps a link that does not hold any more: docs/kernel-differences.md.
      if (insns > 0 && isSignedLoad(program, ours[insns - 1]!.pc) && text.replace("id=,", "") === own) {
        return { difference: undefined, insns, registers };
      }
      return { difference: `before ${pc}: kernel ${name}=${text}, ours ${name}=${own}`, insns, registers };
    }
  }
  return { difference: undefined, insns, registers };
}

function isSignedLoad({ code }: ProgramSpec, pc: number): boolean {
  return (code[8 * pc]! & 0xe7) === 0x81;
}

/** The insns that the kernel walked, each with what it said of registers just before. */
function kernelVisits(log: string): Visit[] {
  const visits: Visit[] = [];
  let regs = new Map<string, string>();
  let frame: number | undefined;
  const note = (text: string) => {
    const inFrame = /frame(\d+): /.exec(text);
    frame = inFrame ? Number(inFrame[1]) : 0;
    for (const [, name, value] of text.matchAll(/(?:^| )(R\d+)=(.*?)(?= R\d+=| fp-?\d+=| refs=| cb$| async_cb$|$)/g))
      regs.set(name!, steady(value!));
  };
  const forget = () => {
    regs = new Map();
    frame = undefined;
  };
  let skip = false;
  for (const line of log.split("\n")) {
    const insn = /^(\d+): \([0-9a-f]{2}\) /.exec(line);
    if (insn) {
      visits.push({ pc: Number(insn[1]), regs, frame });
      forget();
      skip = false;
      const at = line.indexOf(" ; ");
      if (at >= 0) note(line.slice(at + 3));
    } else if (/^(caller|callee|returning|to caller)/.test(line)) skip = true;
    else if (/: safe$/.test(line)) forget();
    else if (/^from \d+ to \d+: /.test(line)) {
      forget();
      note(line.replace(/^from \d+ to \d+: /, ""));
    } else if (!skip && /^\d+: .*R\d+=/.test(line)) note(line.replace(/^\d+: /, ""));
  }
  return visits;
}

function steady(text: string): string {
  return text
    .replace(/^P/, "")
    .replace(/^fp\[\d+\]/, "fp")
    .replace(/\bid=\d+/, "id=")
    .replace(/,?ref_obj_id=\d+/, "");
}
