/** Values of a kind's table on the command line and in a table's cell. */
import { UsageError } from "../../failure.ts";
import type { Network } from "./common.ts";

/**
 * What `--set NAME=VALUE` gives: true and false, whole numbers, else text; `a.b=1` is in a group. A device's name stands
 * for its index where one is wanted. @throws UsageError for a name that the kind does not have.
 */
export function setOptions(
  kind: string,
  table: object,
  given: readonly string[],
  n: Network | undefined,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const text of given) {
    const [, path = "", value = ""] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (value === "") throw new UsageError(`--set: expected NAME=VALUE, got ${text}`);
    const [name = "", part] = path.split(".");
    if (!Object.hasOwn(table, name)) {
      throw new UsageError(`--set: ${kind} has ${Object.keys(table).join(", ") || "nothing"}, got ${name}`);
    }
    const index = DEVICES.has(name) ? n?.devices.find((d) => d.name === value)?.index : undefined;
    const parsed = index ?? parsedValue(value, WIDE.has(name));
    if (part === undefined) values[name] = parsed;
    else values[name] = { ...(values[name] as object), [part]: parsed };
  }
  return values;
}

/** Names whose value is the index of a device, and those with 64 bits. */
const DEVICES = new Set(["link", "primary", "activeSlave"]);
const WIDE = new Set(["rate64", "ceil64", "delay", "jitter"]);

function parsedValue(text: string, wide: boolean): unknown {
  if (text === "true" || text === "false") return text === "true";
  if (wide && /^\d+$/.test(text)) return BigInt(text);
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** `limit 77, ecn` of what list --json shows whole. */
export function optionText(options: Readonly<Record<string, unknown>> | undefined): string {
  const words = Object.entries(options ?? {}).flatMap(([name, value]): string[] => {
    if (value === false || value === undefined) return [];
    if (value === true) return [name];
    if (Array.isArray(value)) return value.length ? [`${name} ${value.map(itemText).join("; ")}`] : [];
    return typeof value === "object" ? [optionText(value as Record<string, unknown>)] : [`${name} ${value}`];
  });
  return words.filter(Boolean).join(", ");
}

function itemText(item: unknown): string {
  if (typeof item !== "object" || item === null) return String(item);
  const { kind, params } = item as {
    kind?: string;
    params?: { action?: string; direction?: string; ifindex?: number };
  };
  if (kind === undefined) return optionText(item as Record<string, unknown>);
  return [kind, params?.direction, params?.ifindex && `if${params.ifindex}`, params?.action].filter(Boolean).join(" ");
}
