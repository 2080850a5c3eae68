/** The intermediate form as text, for tests and for `build -S`. */
import { typeName } from "../check/index.ts";
import { type CoreSite, type Fn, type Insn, type Region, reversePostorder } from "./ir.ts";

/** One line of the text; `at` is the source place of an operation, 0 where there is none. */
export interface IrLine {
  readonly at: number;
  readonly text: string;
}

export function printFn(fn: Fn): string {
  return [`${fn.name}:`, ...irLines(fn).map((l) => l.text), ""].join("\n");
}

export function irLines(fn: Fn): IrLine[] {
  const out: IrLine[] = [];
  for (const b of reversePostorder(fn)) {
    const from = b.preds.length ? ` ; from ${b.preds.map((p) => `b${p.id}`).join(" ")}` : "";
    const insns = [...b.phis, ...b.insns];
    const t = b.term;
    const own = t && t.kind !== "jump" ? t.at : 0;
    out.push({ at: insns[0]?.at || own, text: `b${b.id}:${from}` });
    for (const i of insns) out.push({ at: i.at, text: `  ${text(i)}` });
    if (!t) out.push({ at: 0, text: "  (open)" });
    else if (t.kind === "jump") out.push({ at: 0, text: `  jump b${t.to.id}` });
    else if (t.kind === "ret") out.push({ at: t.at, text: `  ret ${ref(t.value)}` });
    else out.push({ at: t.at, text: `  if ${ref(t.a)} ${t.cmp}${t.w} ${ref(t.b)} b${t.yes.id} else b${t.no.id}` });
  }
  return out;
}

function ref(v: Insn): string {
  return v.op === "const" ? (v.value < 1024n ? String(v.value) : `0x${v.value.toString(16)}`) : `v${v.id}`;
}

function text(i: Insn): string {
  const args = i.args.map(ref).join(", ");
  switch (i.op) {
    case "load":
      return `v${i.id} = load${i.size * 8} [${args} + ${i.core ? site(i.core) : i.off}] ${region(i.region)}`;
    case "core":
      return `v${i.id} = ${site(i.core)}`;
    case "store":
    case "atomic":
      return `${i.op}${i.size * 8} [${ref(i.args[0]!)} + ${i.off}] = ${ref(i.args[1]!)} ${region(i.region)}`;
    case "frame":
      return `v${i.id} = frame ${i.slot.name}#${i.slot.id}`;
    case "map":
      return `v${i.id} = map ${i.name}`;
    case "data":
      return `v${i.id} = data ${i.object.name}`;
    case "call":
      return `v${i.id} = ${i.asm ? `asm of ${i.asm.insns.length}` : `call ${i.external ?? i.callee?.name ?? i.helper}`}(${args})`;
    case "cmp":
      return `v${i.id} = ${i.cmp}${i.w} ${args}`;
    case "bswap":
      return `v${i.id} = bswap${i.bits} ${args}`;
    case "sext":
      return `v${i.id} = sext${i.bits}to${i.w} ${args}`;
    default:
      return `v${i.id} = ${i.op}${"w" in i ? i.w : ""} ${args}`;
  }
}

function site(core: CoreSite): string {
  const what = core.type.kind === "enum" ? core.type.member : typeName(core.type);
  return `core ${what} ${core.access} (${core.local} here)`;
}

function region(r: Region): string {
  return r.kind === "stack" ? `stack#${r.slot.id}` : r.kind === "map" ? `map ${r.name}` : r.kind;
}
