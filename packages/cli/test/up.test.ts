import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readCapture } from "@ebplane/core/wire";
import { expect, test } from "vitest";
import { ebplane, ebplaneJson, ROOT, scratchFolder } from "./ebplane.ts";

const EDGE = "examples/edge/plane.yaml";

interface Count {
  readonly packets: string;
  readonly bytes: string;
}
interface FunctionAnswer {
  readonly name: string;
  readonly seen: Count;
  readonly passed: Count;
  readonly dropped: Count;
  readonly redirected: Count;
  readonly transmitted: Count;
  readonly aborted: Count;
  readonly drops: readonly (Count & { readonly reason: string })[];
  readonly details: readonly (Count & { readonly label: string })[];
}
interface InterfaceAnswer extends FunctionAnswer {
  readonly functions: readonly FunctionAnswer[];
}
interface Answer {
  readonly packets: number;
  readonly interfaces: readonly InterfaceAnswer[];
  readonly files: Readonly<Record<string, { readonly path: string; readonly packets: number }>>;
}

const FATES = ["passed", "dropped", "redirected", "transmitted", "aborted"] as const;

test("every packet of the edge captures is accounted for, and every drop has a reason", () => {
  const out = scratchFolder();
  const { code, json } = ebplaneJson<Answer>(["up", EDGE, "--out", out]);
  expect(code).toBe(0);
  for (const [i, iface] of json.interfaces.entries()) {
    const capture = readCapture(readFileSync(join(ROOT, `examples/edge/${iface.name}.pcap`)));
    const bytes = capture.packets.reduce((n, p) => n + p.bytes.length, 0);
    expect(iface.seen).toEqual({ packets: String(capture.packets.length), bytes: String(bytes) });
    expect(sum(iface, FATES)).toBe(BigInt(capture.packets.length));
    let arriving = iface.seen.packets;
    for (const f of iface.functions) {
      expect(f.seen.packets).toBe(arriving);
      expect(sum(f, FATES)).toBe(BigInt(arriving));
      expect(f.drops.reduce((n, d) => n + BigInt(d.packets), 0n)).toBe(BigInt(f.dropped.packets));
      arriving = f.passed.packets;
    }
    expect(BigInt(iface.dropped.packets), iface.name).toBeGreaterThan(0n);
    // What one interface redirects is what leaves by the other.
    const other = json.interfaces[1 - i]!;
    expect(String(json.files[`${other.name}.out.pcap`]!.packets)).toBe(iface.redirected.packets);
  }
  expect(json.packets).toBeGreaterThanOrEqual(2000);
});

function sum(counts: FunctionAnswer, keys: readonly (typeof FATES)[number][]): bigint {
  return keys.reduce((n, key) => n + BigInt(counts[key].packets), 0n);
}

test("interpreter and JIT tell the same", () => {
  const [jit, interp] = ["jit", "interp"].map(
    (engine) => ebplaneJson<Answer>(["up", EDGE, "--engine", engine]).json.interfaces,
  );
  expect(jit).toEqual(interp);
});

const tcpdump = spawnSync("tcpdump", ["--version"]).error ? "tcpdump is not installed" : undefined;

test.skipIf(tcpdump)(`tcpdump reads the captures that up writes${tcpdump ? ` (skipped: ${tcpdump})` : ""}`, () => {
  const out = scratchFolder();
  const { json } = ebplaneJson<Answer>(["up", EDGE, "--out", out]);
  for (const { path, packets } of Object.values(json.files)) {
    expect(existsSync(path)).toBe(true);
    const { status, stdout, stderr } = spawnSync("tcpdump", ["-nn", "-r", path], { encoding: "utf8" });
    expect(status).toBe(0);
    expect(stderr.replace(/^reading from file.*\n/, "").replace(/^dropped privs.*\n/m, "")).toBe("");
    expect(stdout.split("\n").filter((line) => /^\d\d:\d\d/.test(line))).toHaveLength(packets);
  }
});

test("the table names interfaces, functions, totals and reasons", () => {
  const { code, stdout } = ebplane(["up", EDGE]);
  expect(code).toBe(0);
  for (const text of [
    "wan",
    "lan",
    "guard",
    "protocols-in",
    "wire-in",
    "total",
    "default action",
    "malformed IPv4 header",
  ]) {
    expect(stdout).toContain(text);
  }
  expect(stdout).not.toContain("\u001b[");
});

test("a plane file with an error is refused at line and column, and nothing is started", () => {
  const folder = scratchFolder();
  const file = join(folder, "plane.yaml");
  const text = readFileSync(join(ROOT, EDGE), "utf8").replace("dport: 53", "dport: 99999");
  writeFileSync(file, text);
  const out = join(folder, "out");
  const { code, stdout, stderr } = ebplane(["up", file, "--out", out]);
  const line = text.split("\n").findIndex((l) => l.includes("99999")) + 1;
  const col = text.split("\n")[line - 1]!.indexOf("99999") + 1;
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(`${file}:${line}:${col}: expected at most 65535, got 99999`);
  expect(existsSync(out)).toBe(false);
});

test("the schema that is emitted is the one beside the example", () => {
  const { code, stdout } = ebplane(["schema"]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual(JSON.parse(readFileSync(join(ROOT, "examples/edge/plane.schema.json"), "utf8")));
});

test.each([
  [["up"], "missing required argument 'plane'"],
  [["up", EDGE, "--target", "windows"], "--target: expected sim or linux, got windows"],
  [["up", EDGE, "--pcap", "wan"], "--pcap: expected IFACE=FILE, got wan"],
  [["up", EDGE, "--pcap", "dmz=x.pcap"], "--pcap: no interface named dmz: the plane has wan, lan"],
  [["up", "nowhere.yaml"], "nowhere.yaml: no such file"],
  [["frobnicate"], "unknown command 'frobnicate'"],
])("ebplane %j is a usage mistake with exit 2", (args, message) => {
  const { code, stdout, stderr } = ebplane(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(message);
});
