/** `ebplane build`: the object, its receipt, the side-by-side listing, and what a rejection says. */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, onTestFinished, test } from "vitest";
import { compileFile, lackedBy } from "../src/input.ts";
import { COMMAND_NAMES, commandFor } from "../src/main.ts";
import { ebplane, ebplaneHere, scratchFolder } from "./ebplane.ts";

const skip = kernelSkipReason();

const CONFIGURED = `import { config, ethernet, ipv4, percpuArray, u64, xdp, XDP_DROP, XDP_PASS } from "ebplane/bpf";
const STRICT = config("STRICT", true);
const LIMIT = config("LIMIT", 9);
export const strict = percpuArray(u64, { maxEntries: 1 });
function countStrict(): void {
  const n = strict.lookup(0);
  if (n) n.value += 1n;
}
export const main = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  const ip = p.take(ipv4);
  if (!eth || !ip) return XDP_DROP;
  if (STRICT) {
    countStrict();
    if (ip.ttl < LIMIT) return XDP_DROP;
  }
  return XDP_PASS;
});
`;

/** \`eth\` and \`ip\` are used after the packet moved. */
const STALE = CONFIGURED.replace("  if (STRICT) {", "  xdpAdjustHead(ctx, -20);\n  if (STRICT) {").replace(
  "xdp, XDP_DROP",
  "xdp, xdpAdjustHead, XDP_DROP",
);

function file(name: string, text: string): string {
  const path = join(scratchFolder(), name);
  writeFileSync(path, text);
  return path;
}

test("--const folds a constant, and the receipt says what was left out", async () => {
  const source = file("p.bpf.ts", CONFIGURED);
  const object = source.replace(".bpf.ts", ".o");
  const text = await ebplaneHere(["build", source, "-o", object, "--const", "STRICT=false"]);
  expect(text).toMatchObject({ code: 0, stdout: "" });
  for (const said of [
    "constants  STRICT = false",
    "branches   p.bpf.ts:14",
    "functions  countStrict",
    "maps       strict",
  ])
    expect(text.stderr).toContain(said);
  expect(text.stderr).toMatch(/main: \d+ insns, \d+ with the constants in memory \(\d\d % less\)/);
  const json = JSON.parse(
    (await ebplaneHere(["build", source, "-o", object, "--const", "STRICT=false", "--json"])).stdout,
  );
  expect(json).toMatchObject({
    output: object,
    maps: [],
    receipt: {
      constants: { STRICT: false },
      branches: [{ file: source, line: 14 }],
      functions: ["countStrict"],
      maps: ["strict"],
      folded: { maps: ["strict"] },
    },
  });
  const { before, after } = json.receipt.folded.programs.main;
  expect(after).toBe(json.programs[0].insns);
  expect(before).toBeGreaterThan(after);
  expect(json.receipt.folded.bytes.before).toBeGreaterThan(json.receipt.folded.bytes.after);
});

test("--no-fold keeps the constants as variables that a loader may set", async () => {
  const source = file("p.bpf.ts", CONFIGURED);
  const object = source.replace(".bpf.ts", ".o");
  expect(await ebplaneHere(["build", source, "-o", object, "--no-fold", "--const", "LIMIT=64"])).toMatchObject({
    code: 0,
  });
  const { variables, maps } = JSON.parse((await ebplaneHere(["inspect", object, "--json"])).stdout);
  expect(variables).toMatchObject([
    { name: "STRICT", map: ".rodata", size: 1 },
    { name: "LIMIT", map: ".rodata", size: 4 },
  ]);
  expect(maps.map((m: { name: string }) => m.name)).toEqual(["strict", ".rodata"]);
});

test.each([
  ["NOTHING=1", '--const NOTHING: FILE has no config("NOTHING", …)'],
  ["LIMIT", "--const: expected NAME=VALUE, got LIMIT"],
  ["LIMIT=often", "--const LIMIT: expected a whole number, true or false, got often"],
  ["STRICT=1", "FILE:2:16: constant STRICT: expected a boolean, got 1"],
])("--const %s is refused in one line", async (given, message) => {
  const source = file("p.bpf.ts", CONFIGURED);
  const object = source.replace(".bpf.ts", ".o");
  const answer = await ebplaneHere(["build", source, "-o", object, "--const", given]);
  expect(answer).toEqual({ code: 2, stdout: "", stderr: `${message.replace("FILE", source)}\n` });
  expect(existsSync(object)).toBe(false);
});

test("what our verifier rejects is said at its line, with the variable's name, and not written", async () => {
  const source = file("stale.bpf.ts", STALE);
  const object = source.replace(".bpf.ts", ".o");
  const { code, stderr } = await ebplaneHere(["build", source, "-o", object]);
  expect(stderr.split("\n")[0]).toBe(
    `${source}:17:9: \`ip\` was taken before the packet moved (a helper that changes it was called since): take it again after the call`,
  );
  expect(code).toBe(1);
  expect(existsSync(object)).toBe(false);
  const verified = await ebplaneHere(["verify", source]);
  expect(verified.code).toBe(1);
  expect(verified.stdout).toContain(`${source}:17:9: \`ip\` was taken before the packet moved`);
});

test.skipIf(skip)("the kernel's rejection reads the same", async () => {
  const source = file("stale.bpf.ts", STALE);
  const run = file("p.pcap", "");
  const { json } = await ebplaneHere(["verify", source, "--kernel", "--json"]).then((r) => ({
    json: JSON.parse(r.stdout),
  }));
  expect(json.programs[0].kernel.source).toContain(`${source}:17:9: \`ip\` was taken before the packet moved`);
  expect(json.programs[0].kernel.source).toBe(json.programs[0].source);
  rmSync(run);
  const attached = await ebplaneHere(["attach", source, "xdp:nodev0", "--replace"]);
  expect(attached.code).not.toBe(0);
});

test("-S shows every line that became code, once, beside its intermediate form and its bytecode", async () => {
  const source = file("p.bpf.ts", CONFIGURED);
  const { code, stdout } = await ebplaneHere(["build", source, "-S"]);
  expect(code).toBe(0);
  const rows = stdout.split("\n").map((row) => row.split(" | "));
  const insns = rows.flatMap((r) => /^ *(\d+): /.exec(r[2] ?? "")?.[1] ?? []).map(Number);
  const object = source.replace(".bpf.ts", ".o");
  const built = JSON.parse((await ebplaneHere(["build", source, "-o", object, "--json"])).stdout);
  expect(insns[0]).toBe(0);
  expect(insns.at(-1)).toBe(built.programs[0].insns - 1);
  expect(insns).toEqual([...new Set(insns)].sort((a, b) => a - b));
  const ttl = rows.findIndex((r) => r[0]!.includes("if (ip.ttl < LIMIT)"));
  const block = rows.slice(ttl, ttl + 4);
  expect(block.map((r) => r[1]).join("\n")).toMatch(/load8 \[v\d+ \+ 8\] packet/);
  expect(block.map((r) => r[2]).join("\n")).toMatch(/\*\(u8 \*\)\(r\d \+8\)/);
});

test.skipIf(skip)("bpftool shows the TypeScript line of every instruction", async () => {
  const source = file("p.bpf.ts", CONFIGURED);
  const object = source.replace(".bpf.ts", ".o");
  await ebplaneHere(["build", source, "-o", object]);
  const pin = `/sys/fs/bpf/${basename(scratchFolder())}`;
  onTestFinished(() => rmSync(pin, { recursive: true, force: true }));
  const bpftool = (...args: string[]) =>
    spawnSync("bpftool", args, { encoding: "utf8", env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
  expect(bpftool("prog", "load", object, pin).stderr).toBe("");
  const { stdout } = bpftool("prog", "dump", "xlated", "pinned", pin, "linum");
  expect(stdout).toContain("int main(struct xdp_md * ctx):");
  const lines = CONFIGURED.split("\n");
  const shown = [...stdout.matchAll(/^; (.*) \[file:(.*) line_num:(\d+) line_col:(\d+)\]$/gm)];
  const own = shown.filter((m) => m[2] === source);
  expect(own.length).toBeGreaterThan(5);
  for (const [, text, , line, col] of own) {
    expect(text).toBe(lines[Number(line) - 1]!.trimStart());
    expect(Number(col)).toBeGreaterThan(0);
  }
  expect(own.map((m) => m[1])).toContain("if (ip.ttl < LIMIT) return XDP_DROP;");
});

test("BTF has every struct of the source, used in a map or not", async () => {
  const text = `import { arrayOf, be16, bits, header, struct, u8, u32, xdp } from "ebplane/bpf";
const Local = struct({ a: u8, b: arrayOf(u32, 2) });
const telemetry = header({ version: bits(4), words: bits(4), id: be16 });
export const main = xdp((ctx) => {
  const l = Local({ a: 1 });
  l.b[0] = ctx.length;
  const t = ctx.header(telemetry);
  return t && t.words === l.a ? l.b[0] & 1 : 2;
});
`;
  const source = file("t.bpf.ts", text);
  const object = source.replace(".bpf.ts", ".o");
  expect(await ebplaneHere(["build", source, "-o", object])).toMatchObject({ code: 0 });
  const { stdout } = await ebplaneHere(["btf", "dump", object]);
  expect(stdout).toMatch(/struct Local \{\n\t\S+ a;\n\t\S+ b\[2\];\n\};/);
  // C counts the bits of a byte from the lowest.
  expect(stdout).toMatch(/struct telemetry \{\n\tu8 words: 4;\n\tu8 version: 4;\n\tbe16 id;\n\}/);
});

test("the help has every subcommand, each also alone, and --version loads none", async () => {
  const all = await commandFor(["node", "ebplane", "--help"]);
  expect(all.commands.map((c) => c.name())).toEqual([...COMMAND_NAMES]);
  for (const name of COMMAND_NAMES) {
    const one = await commandFor(["node", "ebplane", name]);
    expect(one.commands.map((c) => c.name())).toContain(name);
  }
  expect((await commandFor(["node", "ebplane", "--version"])).commands).toEqual([]);
  expect(ebplane(["--version"])).toEqual({ code: 0, stdout: "0.1.0\n", stderr: "" });
});

const YOUNG = `import { atomicOr, ktimeGetTaiNs, percpuArray, u64, xdp, XDP_PASS } from "ebplane/bpf";
export const bits = percpuArray(u64, { maxEntries: 1 });
export const main = xdp((ctx) => {
  const b = bits.lookup(0);
  if (b) atomicOr(b.value, ktimeGetTaiNs());
  return XDP_PASS;
});
`;

test("--kernel refuses what that kernel lacks at its line; without it the receipt says what the object needs", async () => {
  const source = file("young.bpf.ts", YOUNG);
  const object = source.replace(".bpf.ts", ".o");
  const old = await ebplaneHere(["build", source, "-o", object, "--kernel", "5.10"]);
  expect(old).toMatchObject({ code: 2, stdout: "" });
  expect(old.stderr.trimEnd().split("\n")).toEqual([
    expect.stringMatching(/young\.bpf\.ts:5:\d+: bpf_ktime_get_tai_ns needs Linux 6\.1, this is built for 5\.10$/),
    expect.stringMatching(
      /young\.bpf\.ts:5:\d+: atomic operations beyond add, .* needs Linux 5\.12, this is built for 5\.10$/,
    ),
  ]);
  expect(existsSync(object)).toBe(false);
  expect((await ebplaneHere(["build", source, "-o", object, "--kernel", "6.1"])).code).toBe(0);
  const plain = await ebplaneHere(["build", source, "-o", object]);
  expect(plain.stderr).toMatch(/^needs Linux 6\.1: bpf_ktime_get_tai_ns \(young\.bpf\.ts:5\)$/m);
  const json = JSON.parse((await ebplaneHere(["build", source, "-o", object, "--json"])).stdout);
  expect(json.receipt.needs[0]).toMatchObject({ since: "6.1", what: "bpf_ktime_get_tai_ns", line: 5 });
});

test("--kernel judges by that kernel's rules, and takes no other word", async () => {
  const source = file(
    "stack.bpf.ts",
    `import { arrayOf, struct, u32, xdp } from "ebplane/bpf";
const Row = struct({ n: arrayOf(u32, 8) });
export const main = xdp((ctx) => {
  const own = Row({ n: [1, 2, 3, ctx.rxQueueIndex] });
  return own.n[ctx.length & 7];
});
`,
  );
  const object = source.replace(".bpf.ts", ".o");
  expect((await ebplaneHere(["build", source, "-o", object, "--kernel", "6.1"])).code).toBe(0);
  const old = await ebplaneHere(["build", source, "-o", object, "--kernel", "5.9"]);
  expect(old.code).toBe(1);
  expect(old.stderr).toMatch(/stack\.bpf\.ts:5:\d+: .*a variable offset into the stack, which needs Linux 5\.12/);
  for (const word of ["5.3", "6", "newest"]) {
    expect(await ebplaneHere(["build", source, "-o", object, "--kernel", word])).toMatchObject({
      code: 2,
      stderr: `--kernel: expected a kernel from 5.4 on, as 6.1, got ${word}\n`,
    });
  }
});

test("what compiled code needs and a kernel lacks is told by release", async () => {
  const source = file("young.bpf.ts", YOUNG);
  const { spec } = await compileFile(source);
  expect(lackedBy(spec, "5.10.0-39-amd64")).toMatch(
    /young\.bpf\.ts:5: bpf_ktime_get_tai_ns needs Linux 6\.1, this kernel is 5\.10, and 1 more \(ebplane build --kernel names all\)$/,
  );
  expect(lackedBy(spec, "6.1.0")).toBe(undefined);
});
