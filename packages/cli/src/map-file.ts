/** Map contents as a JSON file: `[{"key": "hex bytes", "value": "hex bytes"}]`, in memory order. */
import { fromHex } from "@ebplane/core/bytes";
import { BpfError } from "@ebplane/core/errors";
import type { BpfMap } from "@ebplane/core/object";
import { UsageError } from "./failure.ts";
import { readBytes } from "./input.ts";

/**
 * Fills maps as `NAME=FILE.json` arguments say.
 * @throws UsageError for an argument of another form or a map that is not there; BpfError with file and entry for
 * contents that do not fit.
 */
export function fillMaps(maps: ReadonlyMap<string, BpfMap>, args: readonly string[]): void {
  for (const arg of args) {
    const [, name, file] = /^([^=]+)=(.+)$/.exec(arg) ?? [];
    if (!name || !file) throw new UsageError(`--map: expected NAME=FILE.json, got ${arg}`);
    const map = maps.get(name);
    if (!map) throw new UsageError(`--map: no map named ${name}; there are ${[...maps.keys()].join(", ") || "none"}`);
    for (const [i, { key, value }] of readEntries(file).entries()) {
      try {
        map.update(fromHex(key), fromHex(value));
      } catch (e) {
        throw new BpfError("EMAPFILE", `${file}: entry ${i + 1}: ${(e as Error).message}`);
      }
    }
  }
}

function readEntries(file: string): { key: string; value: string }[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(readBytes(file)));
  } catch (e) {
    if (e instanceof SyntaxError) throw new BpfError("EMAPFILE", `${file}: not JSON: ${e.message}`);
    throw e;
  }
  if (!Array.isArray(parsed)) throw new BpfError("EMAPFILE", `${file}: expected a list of {"key", "value"}`);
  return parsed.map((entry, i) => {
    const { key, value } = (entry ?? {}) as { key?: unknown; value?: unknown };
    if (typeof key !== "string" || typeof value !== "string") {
      throw new BpfError("EMAPFILE", `${file}: entry ${i + 1}: expected {"key": "hex bytes", "value": "hex bytes"}`);
    }
    return { key, value };
  });
}
