/** A plane's report as text: interface by interface, function by function, with the reason of every drop. */
import type { Count, FunctionReport, InterfaceReport, PlaneReport } from "@ebplane/functions";
import { colour } from "./colour.ts";
import { bytesText, grouped, table } from "./output.ts";

/** `titles`: what to say beside an interface's name (device, mode). */
export function reportText(report: PlaneReport, titles: ReadonlyMap<string, string>): string {
  return report.interfaces.map((iface) => interfaceText(iface, titles.get(iface.name))).join("\n\n");
}

const HEAD = ["function", "seen", "bytes", "passed", "dropped", "redirected"];

function interfaceText(iface: InterfaceReport, title: string | undefined): string {
  const heading = [colour.bold(colour.cyan(iface.name)), title, iface.chain && `chain ${iface.chain}`]
    .filter(Boolean)
    .join(" · ");
  if (!iface.functions.length) return `${heading}\n  no chain`;
  const extra = (["transmitted", "aborted"] as const).filter((k) => iface[k].packets > 0n);
  const row = (name: string, r: FunctionReport | InterfaceReport): string[] => [
    name,
    packets(r.seen),
    bytesText(r.seen.bytes),
    packets(r.passed),
    drops(r.dropped),
    packets(r.redirected),
    ...extra.map((k) => packets(r[k])),
  ];
  const head = [...HEAD, ...extra];
  const rows = iface.functions.map((f) => row(f.name, f));
  rows.push(row(colour.bold("total"), iface));
  const lines = [heading, indent(table(head, rows, head.slice(1)))];
  const reasons = iface.functions.flatMap((f) =>
    f.drops.map((d) => [f.name, d.reason, packets(d), bytesText(d.bytes)]),
  );
  if (reasons.length) {
    lines.push("", indent(table(["dropped by", "reason", "packets", "bytes"], reasons, ["packets", "bytes"])));
  }
  for (const f of iface.functions) {
    const seen = f.details.filter((d) => d.packets > 0n);
    if (!seen.length) continue;
    const details = seen.map((d) => [d.label, packets(d), bytesText(d.bytes)]);
    lines.push("", indent(table([f.name, "packets", "bytes"], details, ["packets", "bytes"])));
  }
  return lines.join("\n");
}

function packets(count: Count): string {
  return count.packets === 0n ? colour.dim("0") : grouped(count.packets);
}

function drops(count: Count): string {
  return count.packets === 0n ? colour.dim("0") : colour.red(grouped(count.packets));
}

function indent(text: string): string {
  return text
    .split("\n")
    .map((line) => (line ? `  ${line}` : line))
    .join("\n");
}
