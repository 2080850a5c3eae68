import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { expect, test } from "vitest";
import { PlaneError, parsePlane } from "./parse.ts";
import { planeJsonSchema } from "./schema.ts";

const CASES = fileURLToPath(new URL("../../testdata/plane-errors/", import.meta.url));

const GOOD = `plane: edge
interfaces:
  wan: { xdp: inbound, device: eth1, mode: native }
  lan: {}
functions:
  guard: { type: firewall, default: drop, rules: [{ action: pass, proto: tcp, dport: 8000-8099 }] }
  wire: { type: forward, to: lan }
chains:
  inbound: [guard, wire]
`;

test("a right file becomes a PlaneSpec in the file's order", () => {
  const plane = parsePlane(GOOD, "plane.yaml");
  expect(plane.name).toBe("edge");
  expect([...plane.interfaces]).toEqual([
    ["wan", { xdp: "inbound", device: "eth1", mode: "native" }],
    ["lan", { mode: "auto" }],
  ]);
  expect([...plane.chains]).toEqual([["inbound", ["guard", "wire"]]]);
  expect([...plane.functions].map(([name, f]) => [name, f.kind.type])).toEqual([
    ["guard", "firewall"],
    ["wire", "forward"],
  ]);
  expect(plane.functions.get("guard")!.config).toEqual({
    default: "drop",
    rules: [{ action: "pass", proto: "tcp", dport: "8000-8099" }],
  });
});

/** Each case is a file, then `-- error` and the messages it must give, all of them, in order. */
test.each(readdirSync(CASES).sort())("%s is refused with place and expectation", (name) => {
  const [text, errors] = readFileSync(CASES + name, "utf8").split("-- error\n");
  let thrown: unknown;
  try {
    parsePlane(text!, "plane.yaml");
  } catch (e) {
    thrown = e;
  }
  expect(thrown).toBeInstanceOf(PlaneError);
  expect((thrown as PlaneError).message).toBe(errors!.trimEnd());
});

test("no text makes anything but a PlaneSpec or a PlaneError", () => {
  const lines = GOOD.split("\n");
  const mutate = fc.tuple(
    fc.constantFrom("drop", "swap", "garble", "dup"),
    fc.nat(lines.length - 1),
    fc.nat(lines.length - 1),
    fc.string({ maxLength: 12 }),
  );
  fc.assert(
    fc.property(fc.array(mutate, { minLength: 1, maxLength: 4 }), (steps) => {
      const text = [...lines];
      for (const [kind, i, j, junk] of steps) {
        if (i >= text.length || j >= text.length) continue;
        if (kind === "drop") text.splice(i, 1);
        else if (kind === "dup") text.splice(j, 0, text[i]!);
        else if (kind === "swap") [text[i], text[j]] = [text[j]!, text[i]!];
        else text[i] = text[i]!.slice(0, j) + junk + text[i]!.slice(j + junk.length);
      }
      try {
        expect(parsePlane(text.join("\n"), "p").name).toBeTypeOf("string");
      } catch (e) {
        expect(e).toBeInstanceOf(PlaneError);
        expect((e as PlaneError).diagnostics.length).toBeGreaterThan(0);
        for (const d of (e as PlaneError).diagnostics) expect(d.message).not.toMatch(/undefined|\[object/);
      }
    }),
    { numRuns: 2000 },
  );
});

test("the JSON Schema names every function type and describes every key", () => {
  const schema = JSON.stringify(planeJsonSchema());
  for (const type of ["firewall", "counter", "forward"]) expect(schema).toContain(`"const":"${type}"`);
  expect(schema).toContain("Outermost VLAN id");
});
