/** `ebplane map`, `prog` and `features` on the real kernel, on a map that the test owns. */

import { MapType } from "@ebplane/core/object";
import { LinuxMap } from "@ebplane/linux";
import { mapCreate } from "@ebplane/linux/bpf";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { ebplaneHere, type Outcome } from "./ebplane.ts";

const skip = kernelSkipReason();

function ownMap(): LinuxMap {
  const spec = { name: "cli_test", type: MapType.BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 8, maxEntries: 4, flags: 0 };
  const map = new LinuxMap(mapCreate(spec), spec);
  onTestFinished(() => map.close());
  return map;
}

const run = (...args: string[]): Promise<Outcome> => ebplaneHere(["map", ...args]);

describe.skipIf(skip)(`ebplane map${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("entries are written, read, dumped and deleted as hex in memory order", async () => {
    const map = ownMap();
    const id = String(map.id);
    expect(await run("update", id, "01020304", "0a00000000000000")).toMatchObject({ code: 0, stderr: "" });
    expect([...map.entries()]).toEqual([[Uint8Array.of(1, 2, 3, 4), Uint8Array.of(10, 0, 0, 0, 0, 0, 0, 0)]]);
    expect((await run("lookup", id, "01020304")).stdout).toBe("01020304: 0a00000000000000\n");
    const dumped = JSON.parse((await run("dump", id, "--json")).stdout);
    expect(dumped).toMatchObject({ name: "cli_test", type: "hash", key: 4, value: 8, max: 4 });
    expect(dumped.entries).toEqual([{ key: "01020304", value: "0a00000000000000" }]);
    const listed = JSON.parse((await run("list", "--json")).stdout) as { maps: { id: number }[] };
    expect(listed.maps.map((m) => m.id)).toContain(map.id);
    expect((await run("delete", id, "01020304")).code).toBe(0);
    expect(await run("delete", id, "01020304")).toMatchObject({ code: 1, stdout: "01020304: no such key\n" });
    expect((await run("lookup", id, "01020304")).code).toBe(1);
    expect([...map.entries()]).toEqual([]);
  });

  test.each([
    [["update", "ID", "0102", "00"], "key: expected 4 bytes in hex, got 2"],
    [["update", "ID", "01020304", "00"], "value: expected 8 bytes in hex, got 1"],
    [["update", "ID", "zz", "00"], "key: hex digit 0"],
    [["update", "ID", "=1", "00"], "the kernel has no types for this map"],
    [["update", "ID", "01020304", "0000000000000000", "--existing"], "ENOENT"],
    [["dump", "no_such_map"], "no map has this name"],
    [["dump", "4000000000"], "does not exist"],
    [["dump", "/sys/fs/bpf/no-such"], "does not exist"],
    [["dump", "/tmp"], "/tmp"],
  ])("ebplane map %j is one line with exit 2", async (args, message) => {
    const map = ownMap();
    const { code, stdout, stderr } = await run(...args.map((a) => a.replace("ID", String(map.id))));
    expect(stderr).toContain(message);
    expect({ code, stdout, lines: stderr.trimEnd().split("\n").length }).toEqual({ code: 2, stdout: "", lines: 1 });
    expect([...map.entries()]).toEqual([]);
  });

  test("the kernel's programs and features are one JSON document each", async () => {
    const programs = JSON.parse((await ebplaneHere(["prog", "list", "--json"])).stdout);
    expect(Array.isArray(programs.programs)).toBe(true);
    const features = JSON.parse((await ebplaneHere(["features", "--json"])).stdout);
    expect(features.progTypes.xdp.supported).toBe(true);
    expect(features.mapTypes.hash.supported).toBe(true);
    expect(features.system.release).toMatch(/^\d+\.\d+/);
  });
});
