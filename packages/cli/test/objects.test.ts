/** Objects in and out: what inspect, btf, types and link say of one that the command built itself. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ebplaneHere, ROOT, scratchFolder } from "./ebplane.ts";

const COUNT = join(ROOT, "examples/programs/count.bpf.ts");

async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ebplaneHere(args);
  if (code !== 0) throw new Error(`ebplane ${args.join(" ")}: ${code}: ${stderr}`);
  return stdout;
}

test("inspect says of an object what it says of its source", async () => {
  const object = join(scratchFolder(), "count.o");
  await done("build", COUNT, "-o", object);
  const answer = JSON.parse(await done("inspect", object, "--json"));
  expect(answer.programs).toMatchObject([{ name: "count", section: "xdp", type: "xdp", maps: ["counters"] }]);
  expect(answer.maps).toMatchObject([
    { name: "counters", type: "percpu_array", key: 4, value: 16, max: 256, pinning: "none", inner: null },
  ]);
  expect(answer.btfKinds.struct).toBeGreaterThan(0);
  expect(answer.unknown).toEqual([]);
  const source = JSON.parse(await done("inspect", COUNT, "--json"));
  expect(answer.programs[0].insns).toBe(source.programs[0].insns);
  const text = await done("inspect", object);
  expect(text).toMatch(/counters +percpu_array +4 +16 +256/);
});

test("types of an object's maps, as TypeScript and as C", async () => {
  const file = join(scratchFolder(), "count.types.ts");
  await done("types", COUNT, "-o", file);
  expect(readFileSync(file, "utf8")).toMatch(/readonly counters: TypedMap<.*packets|interface CountMaps/s);
  expect(await done("btf", "dump", COUNT)).toMatch(/struct \w+ \{\n\t.* packets;\n\t.* bytes;\n\};/);
  expect(await done("btf", "dump", COUNT, "--format", "ts")).toContain("readonly packets: bigint;");
});

test("a linked object is an object", async () => {
  const folder = scratchFolder();
  const [object, linked] = [join(folder, "a.o"), join(folder, "linked.o")];
  await done("build", COUNT, "-o", object);
  await done("link", object, "-o", linked);
  const answer = JSON.parse(await done("inspect", linked, "--json"));
  expect(answer.programs).toMatchObject([{ name: "count" }]);
  expect(JSON.parse(await done("verify", linked, "--json")).programs).toMatchObject([{ verdict: "accept" }]);
});

test("assembled text becomes an object with types, source lines and maps", async () => {
  const folder = scratchFolder();
  const [source, object] = [join(folder, "count.s"), join(folder, "count.o")];
  const text = `
r1 = 0
call count
r0 = 2
exit
count:
*(u32 *)(r10 - 4) = r1
r2 = r10
r2 += -4
r1 = map[hits]
call bpf_map_lookup_elem
if r0 == 0 goto out
r1 = 1
lock *(u64 *)(r0 + 0) += r1
out:
exit
`;
  writeFileSync(source, text);
  await done("asm", source, "-o", object, "--map", "hits=array:4:8:1", "--section", "tc", "--name", "counted");
  const answer = JSON.parse(await done("inspect", object, "--json"));
  expect(answer.programs).toMatchObject([
    { name: "counted", section: "tc", type: "sched_cls", functions: ["counted", "count"], maps: ["hits"] },
  ]);
  expect(answer.maps).toMatchObject([{ name: "hits", type: "array", key: 4, value: 8, max: 1 }]);
  expect(await done("disasm", object)).toContain("; lock *(u64 *)(r0 + 0) += r1");
  const verdict = JSON.parse(await done("verify", object, "--json"));
  expect(verdict.programs[0].verdict).toBe("accept");
  const { code, stderr } = await ebplaneHere(["asm", source, "-o", object, "--map", "hits"]);
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining("--map: expected NAME=TYPE") });
});
