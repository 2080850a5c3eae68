/** The intermediate form as text, for tests and for `build -S`. */
import { type Fn, type Insn, type Region, reversePostorder } from "./ir.ts";

export function printFn(fn: Fn): string {
  const out: string[] = [`${fn.name}:`];
  for (const b of reversePostorder(fn)) {
    out.push(`b${b.id}:${b.preds.length ? ` ; from ${b.preds.map((p) => `b${p.id}`).join(" ")}` : ""}`);
    for (const i of [...b.phis, ...b.insns]) out.push(`  ${text(i)}`);
    const t = b.term;
    if (!t) out.push("  (open)");
    else if (t.kind === "jump") out.push(`  jump b${t.to.id}`);
    else if (t.kind === "ret") out.push(`  ret ${ref(t.value)}`);
    else out.push(`  if ${ref(t.a)} ${t.cmp}${t.w} ${ref(t.b)} b${t.yes.id} else b${t.no.id}`);
  }
  return `${out.join("\n")}\n`;
}

function ref(v: Insn): string {
  return v.op === "const" ? (v.value < 1024n ? String(v.value) : `0x${v.value.toString(16)}`) : `v${v.id}`;
}

function text(i: Insn): string {
  const args = i.args.map(ref).join(", ");
  switch (i.op) {
    case "load":
      return `v${i.id} = load${i.size * 8} [${args} + ${i.off}] ${region(i.region)}`;
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
      return `v${i.id} = call ${i.helper}(${args})`;
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

function region(r: Region): string {
  return r.kind === "stack" ? `stack#${r.slot.id}` : r.kind === "map" ? `map ${r.name}` : r.kind;
}
