/** Generated bindings: the TypeScript compiler takes them, and they do what they say on a map. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generateTypes, readElf, type TypedMap, typedMap } from "@ebplane/core/elf";
import type { BpfMap } from "@ebplane/core/object";
import ts from "typescript";
import { expect, test } from "vitest";
import { build, CORPUS } from "./corpus.ts";
import { missingTool, withFile } from "./tools.ts";

const skip = missingTool("clang");

/** Complaints of the compiler about the generated file and a use of it. */
function check(generated: string, use = ""): string[] {
  // The two modules that a generated file imports, as small as it needs them.
  const stub = `export interface TypedMap<K, V> { get(key: K): V | undefined; set(key: K, value: V): void; delete(key: K): boolean; entries(): IterableIterator<[K, V]> }\nexport interface Program { readonly id: number }\n`;
  const text = generated.replace(/"@ebplane\/core\/(elf|object)"/g, '"./stub.ts"');
  return withFile("object.types.ts", `${text}\n${use}`, (path) => {
    writeFileSync(join(dirname(path), "stub.ts"), stub);
    const program = ts.createProgram([path], {
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      types: [],
      lib: ["lib.es2022.d.ts"],
    });
    return ts.getPreEmitDiagnostics(program).map((d) => ts.flattenDiagnosticMessageText(d.messageText, "\n"));
  });
}

test.skipIf(skip)("the bindings of every object compile", () => {
  const all = CORPUS.map((name) => generateTypes(readElf(build(name)), { name }));
  // One program for all: each in a namespace of its own, its imports taken away.
  const joined = all.map((text, i) => `export namespace n${i} {\n${text.replace(/^import .*$/gm, "")}\n}`).join("\n");
  const imports =
    'import type { TypedMap } from "@ebplane/core/elf";\nimport type { Program } from "@ebplane/core/object";\n';
  expect(check(imports + joined)).toEqual([]);
});

test.skipIf(skip)("members complete, and mistakes do not compile", () => {
  const text = generateTypes(readElf(build("hash_flows")), { name: "hash_flows" });
  expect(text).toContain("readonly flows: TypedMap<Flow, Stat>;");
  expect(text).toContain("`struct stat`, 24 bytes");
  const good = `declare const maps: HashFlowsMaps;
const s = maps.flows.get({ saddr: 1, daddr: 2, sport: 3, dport: 4, proto: 6, pad: [0, 0, 0] });
const n: bigint | undefined = s?.packets;
export { n };`;
  expect(check(text, good)).toEqual([]);
  expect(check(text, good.replace("packets;", "packet;"))).toEqual([
    "Property 'packet' does not exist on type 'Stat'. Did you mean 'packets'?",
  ]);
});

test.skipIf(skip)("a typed map speaks objects to a map of bytes", () => {
  const spec = readElf(build("hash_flows"));
  const entries = new Map<string, Uint8Array>();
  const map = {
    spec: spec.maps.get("flows")!,
    id: 1,
    lookup: (key: Uint8Array) => entries.get(key.join()),
    update: (key: Uint8Array, value: Uint8Array) => void entries.set(key.join(), value),
    delete: (key: Uint8Array) => entries.delete(key.join()),
    *entries() {
      for (const [k, v] of entries) yield [Uint8Array.from(k.split(","), Number), v] as [Uint8Array, Uint8Array];
    },
  } as unknown as BpfMap;
  const flows: TypedMap<Record<string, unknown>, Record<string, unknown>> = typedMap(map, spec.btf);
  const key = { saddr: 0x0100000a, dport: 80, proto: 6 };
  flows.set(key, { packets: 3n, bytes: 180n });
  expect(flows.get(key)).toEqual({ packets: 3n, bytes: 180n, flags: 0, first: 0 });
  expect([...flows.entries()][0]![0]).toEqual({ ...key, daddr: 0, sport: 0, pad: [0, 0, 0] });
  expect(flows.delete(key)).toBe(true);
  expect(flows.get(key)).toBeUndefined();
});
