/**
 * The reference's examples: docs/language.md says of each what it gives for which packet, and it does so on interpreter,
 * JIT and kernel. They type-check with the declarations that editors use.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { relocateCore } from "@ebplane/core/elf";
import type { CollectionSpec, Target } from "@ebplane/core/object";
import * as object from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { verify } from "@ebplane/core/verifier";
import * as w from "@ebplane/core/wire";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";

import { editorProblems } from "./editor.ts";
import { kernelBtf } from "./kernel-btf.ts";

const skip = kernelSkipReason();
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const TEXT = readFileSync(path("../../../docs/language.md"), "utf8");

/** What the reference says of its packets. */
const ENDS = { source: "10.0.0.1", destination: "10.0.0.2" };
const TCP = w.tcp({ sourcePort: 40000, destinationPort: 80, flags: 2 });
const DATA = Uint8Array.of(0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const INNER = [w.ethernet(), w.ipv4(ENDS), TCP];
const PACKETS: Readonly<Record<string, Uint8Array>> = {
  tcp: w.buildPacket([w.ethernet(), w.ipv4(ENDS), TCP], DATA),
  udp: w.buildPacket([w.ethernet(), w.ipv4(ENDS), w.udp({ sourcePort: 40000, destinationPort: 53 })], DATA),
  tcp6: w.buildPacket([w.ethernet(), w.ipv6(), TCP], DATA),
  icmp: w.buildPacket([w.ethernet(), w.ipv4(ENDS), w.icmp()], DATA),
  arp: w.buildPacket([w.ethernet(), w.arp()]),
  vlan: w.buildPacket([w.ethernet(), w.vlan({ id: 100 }), w.ipv4(ENDS), TCP], DATA),
  vxlan: w.buildPacket([w.ethernet(), w.ipv4(ENDS), w.udp(), w.vxlan({ vni: 42 }), ...INNER], DATA),
};
const VERDICTS: Readonly<Record<string, number>> = { ...object.XdpAction, TC_ACT_OK: 0, TC_ACT_SHOT: 2 };

interface Example {
  readonly title: string;
  readonly text: string;
  readonly file: string | undefined;
  /** Packet and verdict; empty where it only verifies. */
  readonly runs: readonly (readonly [packet: string, verdict: number])[];
}

function examples(): Example[] {
  const out: Example[] = [];
  for (const part of TEXT.split(/^#+ /m)) {
    const heading = part.slice(0, part.indexOf("\n"));
    for (const [k, m] of [...part.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].entries()) {
      const text = m[1]!;
      const file = /^\/\/ file (\S+)/.exec(text)?.[1];
      const said = /^\/\/= (.*)$/m.exec(text)?.[1];
      if (!file && said === undefined) throw new Error(`${heading}: example ${k + 1} does not say what it gives`);
      const runs = (said ?? "verifies").split(", ").flatMap((run) => {
        const [packet, verdict] = run.split(" ");
        return verdict === undefined ? [] : [[packet!, VERDICTS[verdict] ?? Number(verdict)] as const];
      });
      out.push({ title: `${heading}, ${k + 1}`, text, file, runs });
    }
  }
  return out;
}

const EXAMPLES = examples();
const FILES = new Map(EXAMPLES.flatMap((e) => (e.file ? [[e.file, e.text]] : [])));
const PROGRAMS = EXAMPLES.filter((e) => !e.file);

function build(e: Example): CollectionSpec {
  return compile({ entry: "doc.bpf.ts", files: new Map([...FILES, ["doc.bpf.ts", e.text]]) }).spec;
}

describe.each([
  ["interpreter", () => new SimTarget({ engine: "interp", kernelBtf }), undefined],
  ["JIT", () => new SimTarget({ engine: "jit", kernelBtf }), undefined],
  ["kernel", () => linuxTarget(), skip],
] as const)("on the %s", (_, target: () => Target, why) => {
  test.skipIf(why).each(PROGRAMS.filter((e) => e.runs.length).map((e) => [e.title, e] as const))("%s", (_title, e) => {
    const spec = build(e);
    const [first] = spec.programs.keys();
    for (const [name, verdict] of e.runs) {
      const packet = PACKETS[name] ?? expect.fail(`the reference names a packet ${name}`);
      // A fresh one for each packet: what is kept in maps and variables is not the example's concern.
      using loaded = target().load(spec, { programs: [first!] });
      expect(loaded.programs.get(first!)!.testRun({ packet }).verdict, name).toBe(verdict);
    }
  });
});

test("every program of every example is accepted by our verifier", () => {
  for (const e of PROGRAMS) {
    const types = kernelBtf();
    const spec = types ? relocateCore(build(e), types) : build(e);
    for (const p of spec.programs.values()) {
      const report = verify(p, { maps: spec.maps, license: spec.license, btf: spec.btf, kernelBtf: kernelBtf() });
      expect(`${e.title}, ${p.name}: ${report.verdict} ${report.message ?? ""}`.trim()).toBe(
        `${e.title}, ${p.name}: accept`,
      );
    }
  }
});

test.skipIf(skip)("every program of every example is accepted by the kernel", () => {
  for (const e of PROGRAMS) linuxTarget().load(build(e)).close();
});

test("the examples type-check with the declarations that editors use", () => {
  expect(
    editorProblems(new Map([...FILES, ...PROGRAMS.map((e, k) => [`example-${k}.bpf.ts`, e.text] as const)])),
  ).toEqual([]);
});
