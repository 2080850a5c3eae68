/** examples/bindings: what `ebplane types` writes, used with completion, on sim and on the kernel. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { readCapture } from "@ebplane/core/wire";
import { linuxTarget } from "@ebplane/linux";
import ts from "typescript";
import { expect, test } from "vitest";
import { countFlow } from "../../../examples/bindings/flows.ts";
import { kernelSkipReason } from "../../linux/src/testing.ts";
import { ebplaneHere, ROOT, scratchFolder } from "./ebplane.ts";

const FOLDER = join(ROOT, "examples/bindings");

test("the example's types are what the command writes", async () => {
  const file = join(scratchFolder(), "flows.types.ts");
  const { code } = await ebplaneHere(["types", join(ROOT, "examples/programs/flows.bpf.ts"), "-o", file]);
  expect(code).toBe(0);
  expect(readFileSync(file, "utf8")).toBe(readFileSync(join(FOLDER, "flows.types.ts"), "utf8"));
});

const skip = kernelSkipReason();

test("a flow of the capture is found by its addresses on sim", () => flowIsFound(() => new SimTarget()));
test.skipIf(skip)(`the same flow is found on the kernel${skip ? ` (skipped: ${skip})` : ""}`, () =>
  flowIsFound(() => linuxTarget()),
);

function flowIsFound(target: () => Target): void {
  const packets = readCapture(readFileSync(join(ROOT, "examples/edge/wan.pcap"))).packets.map((p) => p.bytes);
  const key = { saddr: "198.51.100.10", daddr: "10.0.0.10", sport: 40450, dport: 80, proto: 6 } as const;
  // tcpdump -nr wan.pcap 'tcp and src 198.51.100.10 and src port 40450'
  const expected = packets.filter((p) => {
    const view = new DataView(p.buffer, p.byteOffset, p.byteLength);
    const plain = p.length >= 38 && view.getUint16(12) === 0x800 && p[14] === 0x45 && p[23] === 6;
    return plain && view.getUint32(26) === 0xc633640a && view.getUint16(34) === 40450 && view.getUint16(36) === 80;
  });
  expect(expected.length).toBeGreaterThan(3);
  const flow = countFlow(target(), packets, key);
  expect(flow).toMatchObject({
    packets: BigInt(expected.length),
    bytes: expected.reduce((sum, p) => sum + BigInt(p.length), 0n),
  });
  expect(countFlow(target(), packets, { ...key, dport: 81 })).toBeUndefined();
}

test("an editor completes maps and members, and knows their types", () => {
  const file = join(FOLDER, "asked.ts");
  const use = `import type { FlowsMaps } from "./flows.types.ts";
declare const maps: FlowsMaps;
const flow = maps.flows.get({ saddr: "10.0.0.1", daddr: 0x0a000002, sport: 1, dport: 2, proto: 17 });
const packets: bigint | undefined = flow?.packets;
maps./*map*/;
flow?./*member*/;
maps.flows.get({ /*key*/ });
export { packets };
`;
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2022.d.ts", "lib.esnext.disposable.d.ts"],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    customConditions: ["source"],
    types: [],
  };
  const text = (name: string) => (name === file ? use : ts.sys.readFile(name));
  const service = ts.createLanguageService({
    getCompilationSettings: () => options,
    getScriptFileNames: () => [file],
    getScriptVersion: () => "1",
    getScriptSnapshot: (name) => {
      const content = text(name);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => ROOT,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: (name) => name === file || ts.sys.fileExists(name),
    readFile: text,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
  });
  const completions = (mark: string) =>
    service
      .getCompletionsAtPosition(file, use.indexOf(`/*${mark}*/`), undefined)!
      .entries.map((e) => e.name)
      .sort();
  expect(completions("map")).toEqual(["flows"]);
  expect(completions("member")).toEqual(["bytes", "last", "packets"]);
  expect(completions("key")).toEqual(["daddr", "dport", "pad", "proto", "saddr", "sport"]);
  const complaints = service
    .getSemanticDiagnostics(file)
    .map((d) => ts.flattenDiagnosticMessageText(d.messageText, "\n").split("\n")[0]);
  // The call that was not finished lacks members; the finished one is fine.
  expect(complaints).toEqual([expect.stringContaining("Argument of type '{}' is not assignable")]);
});
