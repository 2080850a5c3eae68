/** How the command prints: one JSON document, or text with tables. Progress and colour only on a terminal. */
import Table from "cli-table3";
import { colour } from "./colour.ts";

/** One JSON document on stdout; u64 values as decimal strings, bytes as hex. */
export function printJson(value: unknown): void {
  process.stdout.write(`${toJson(value)}\n`);
}

export function toJson(value: unknown): string {
  const plain = (_key: string, v: unknown): unknown => {
    if (typeof v === "bigint") return v.toString();
    if (v instanceof Uint8Array) return Array.from(v, (b) => b.toString(16).padStart(2, "0")).join("");
    if (v instanceof Map) return Object.fromEntries(v);
    return v;
  };
  return JSON.stringify(value, plain, 2);
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A note beside the output: stderr, so that stdout stays what was asked for. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A borderless table; columns named in `right` are aligned right. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly string[] = [],
): string {
  const t = new Table({
    head: head.map((h) => colour.bold(h)),
    colAligns: head.map((h) => (right.includes(h) ? "right" : "left")),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    chars: {
      top: "",
      "top-mid": "",
      "top-left": "",
      "top-right": "",
      bottom: "",
      "bottom-mid": "",
      "bottom-left": "",
      "bottom-right": "",
      left: "",
      "left-mid": "",
      mid: "",
      "mid-mid": "",
      right: "",
      "right-mid": "",
      middle: "",
    },
  });
  for (const row of rows) t.push([...row]);
  return t
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** A whole number with thin groups: `12 345`. */
export function grouped(n: bigint | number): string {
  return n.toString().replace(/\B(?=(\d{3})+$)/g, " ");
}

/** Bytes for people: `1.4 MB`, decimal units. */
export function bytesText(n: bigint): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = Number(n);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${n} B` : `${value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}
