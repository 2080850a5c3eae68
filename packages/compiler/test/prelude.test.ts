/** The library repeats numbers that the rest of the house has: the language cannot import them, so a test holds them equal. */
import { readFileSync } from "node:fs";
import { XdpAction } from "@ebplane/core/object";
import * as wire from "@ebplane/core/wire";
import { expect, test } from "vitest";

const TEXT = readFileSync(new URL("../lib/prelude.bpf.ts", import.meta.url), "utf8");
const OURS = new Map(
  [...TEXT.matchAll(/^export const ([A-Z][A-Z0-9_]*) = (-?(?:0x)?[0-9a-f]+);$/gm)].map(([, name, value]) => [
    name!,
    Number(value),
  ]),
);
const HOUSE: Readonly<Record<string, unknown>> = { ...wire, ...XdpAction };

test("constants of the library are those of the packet formats and the kernel's tables", () => {
  const shared = [...OURS.keys()].filter((name) => typeof HOUSE[name] === "number");
  expect(shared.length).toBeGreaterThan(25);
  expect(Object.fromEntries(shared.map((name) => [name, OURS.get(name)]))).toEqual(
    Object.fromEntries(shared.map((name) => [name, HOUSE[name]])),
  );
});
