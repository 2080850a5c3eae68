/** `ebplane prog`, `link` and `map` on objects of the kernel, beside what bpftool says of them. */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeElf } from "@ebplane/core/elf";
import { MapType, ProgType } from "@ebplane/core/object";
import { linuxTarget } from "@ebplane/linux";
import { arrayMap, asmProgram, collectionOf, createTopology, kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { ebplaneHere, scratchFolder } from "./ebplane.ts";
import { kernelObject } from "./kernel-object.ts";

const skip = kernelSkipReason();
const PINS = `/sys/fs/bpf/ebplane-objects-${process.pid}`;

async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ebplaneHere(args);
  if (code !== 0) throw new Error(`ebplane ${args.join(" ")}: ${code}: ${stderr}`);
  return stdout;
}

const bpftool = (...args: string[]): string => spawnSync("bpftool", args, { encoding: "utf8" }).stdout;

/** Loads everything of the test object, pinned in a directory of this test's. */
async function loaded(name: string): Promise<string> {
  const directory = `${PINS}-${name}`;
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const object = join(scratchFolder(), "all.o");
  writeFileSync(object, kernelObject());
  await done("prog", "load", object, directory);
  return directory;
}

describe.skipIf(skip)(`objects of the kernel${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("an object's programs are loaded and pinned, shown and dumped as bpftool does", async () => {
    const pins = await loaded("prog");
    const show = JSON.parse(await done("prog", "show", `${pins}/xdp_pass`, "--json")) as { id: number; tag: string };
    expect(bpftool("prog", "show", "pinned", `${pins}/xdp_pass`)).toContain(`tag ${show.tag}`);
    expect(await done("prog", "show", String(show.id))).toMatch(/^program \d+: xdp_pass, xdp, tag [0-9a-f]{16}, GPL\n/);
    const dump = await done("prog", "dump", `${pins}/xdp_pass`);
    expect(dump.trim().split("\n")).toHaveLength(
      bpftool("prog", "dump", "xlated", "pinned", `${pins}/xdp_pass`).trim().split("\n").length,
    );
    expect(dump).toMatch(/\n +\d+: \(95\) exit\n$/);
    expect(dump).toMatch(/map\[id:\d+\]/);
    const jited = JSON.parse(await done("prog", "dump", `${pins}/xdp_pass`, "--jited", "--json")) as { jited: string };
    expect(jited.jited).toMatch(/^[0-9a-f]{40,}$/);
    await done("prog", "pin", String(show.id), `${pins}/again`);
    expect(bpftool("prog", "show", "pinned", `${pins}/again`)).toContain(`${show.id}: xdp`);
    expect(await ebplaneHere(["prog", "load", join(scratchFolder(), "none.o"), `${pins}-x`])).toMatchObject({
      code: 2,
    });
    expect(await ebplaneHere(["prog", "show", "no-such-program"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no program has this name"),
    });
    expect(existsSync(`${pins}/maps/hits`)).toBe(true);
  });

  test("statistics count the runs of a while", async () => {
    const spec = asmProgram("busy_bee", ProgType.BPF_PROG_TYPE_SOCKET_FILTER, "r0 = 1\nexit");
    using live = linuxTarget().load(collectionOf([spec]));
    const timer = setInterval(() => live.programs.get("busy_bee")!.testRun({ packet: new Uint8Array(64) }), 20);
    onTestFinished(() => clearInterval(timer));
    const { programs } = JSON.parse(await done("prog", "stats", "--json")) as {
      programs: { name: string; runs: string }[];
    };
    expect(Number(programs.find((p) => p.name === "busy_bee")?.runs)).toBeGreaterThan(3);
  });

  test("a link is listed, shown, pinned, updated and detached", async () => {
    const pins = await loaded("link");
    using net = createTopology();
    const target = linuxTarget({ netns: net.edge.fd });
    using live = target.load(collectionOf([asmProgram("pass", ProgType.BPF_PROG_TYPE_XDP, "r0 = 2\nexit")]));
    using link = target.attach(live.programs.get("pass")!, { kind: "xdp", iface: "e0", mode: "auto" });
    const id = String(link.id);
    const links = () => ebplaneHere(["link", "list", "--json"]).then(({ stdout }) => JSON.parse(stdout).links);
    expect(await links()).toContainEqual(
      expect.objectContaining({ id: link.id, type: "xdp", progId: live.programs.get("pass")!.id }),
    );
    await done("link", "pin", id, `${pins}/link`);
    expect(bpftool("link", "show", "pinned", `${pins}/link`)).toContain(`${id}: xdp`);
    await done("link", "update", id, `${pins}/xdp_drop`);
    const drop = JSON.parse(await done("prog", "show", `${pins}/xdp_drop`, "--json")) as { id: number };
    expect(await done("link", "show", `${pins}/link`)).toContain(`link ${id}: xdp`);
    expect(link.info().progId).toBe(drop.id);
    await done("link", "detach", id);
    expect(net.edge.spawnSync("ip", ["link", "show", "e0"]).stdout).not.toContain("xdp");
    expect(await ebplaneHere(["link", "show", "x"])).toMatchObject({
      code: 2,
      stderr: "x: expected an id, or a file in bpffs\n",
    });
    expect(await ebplaneHere(["link", "a.o"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("expected -o FILE"),
    });
  });

  test("maps are created, pinned, frozen and popped", async () => {
    const pins = await loaded("map");
    await done("map", "create", "queue", "line", `${pins}/line`, "--key", "0", "--value", "4", "--entries", "8");
    expect(bpftool("map", "show", "pinned", `${pins}/line`)).toMatch(/queue .*name line/);
    bpftool("map", "push", "pinned", `${pins}/line`, "value", "1", "2", "3", "4");
    expect(await done("map", "pop", `${pins}/line`)).toBe("01020304\n");
    expect(await ebplaneHere(["map", "pop", `${pins}/line`])).toMatchObject({ code: 1, stdout: "empty\n" });
    await done("map", "pin", `${pins}/maps/hits`, `${pins}/hits2`);
    await done("map", "freeze", `${pins}/hits2`);
    expect(await ebplaneHere(["map", "update", `${pins}/hits2`, "00000000", "0000000000000001"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("EPERM"),
    });
    expect(
      await ebplaneHere(["map", "create", "tree", "t", `${pins}/t`, "--key", "4", "--value", "4", "--entries", "1"]),
    ).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no type tree"),
    });
  });

  test("a ring buffer's records are printed as they come", async () => {
    const text = `
      *(u64 *)(r10 - 8) = 7
      r1 = map[records]
      r2 = r10
      r2 += -8
      r3 = 8
      r4 = 0
      call bpf_ringbuf_output
      r0 = 2
      exit`;
    const records = arrayMap("records", 4096, { type: MapType.BPF_MAP_TYPE_RINGBUF, keySize: 0, valueSize: 0 });
    const spec = collectionOf([asmProgram("send", ProgType.BPF_PROG_TYPE_XDP, text)], [records]);
    expect(writeElf(spec).length).toBeGreaterThan(0);
    using live = linuxTarget().load(spec);
    for (let i = 0; i < 3; i++) live.programs.get("send")!.testRun({ packet: new Uint8Array(64) });
    const { id } = live.maps.get("records")!;
    expect(await done("map", "events", String(id), "--count", "3")).toBe("0700000000000000\n".repeat(3));
    using other = linuxTarget().load(collectionOf([], [arrayMap("plain")]));
    expect(await ebplaneHere(["map", "events", String(other.maps.get("plain")!.id)])).toMatchObject({
      code: 2,
      stderr: "map plain: expected a ringbuf or perf_event_array, got array\n",
    });
  });
});
