import { spawn } from "node:child_process";
import { readdirSync, unlinkSync } from "node:fs";
import { MapType, ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listLinkObjects } from "../link/index.ts";
import { detachedMount } from "../mem/index.ts";
import { getLink } from "../netlink/index.ts";
import { close } from "../sys/index.ts";
import { arrayMap, collectionOf, countingProgram, createTopology, kernelSkipReason } from "../testing.ts";
import { openLink, openMap, openProgram } from "./open.ts";
import { linuxTarget } from "./target.ts";

const skip = kernelSkipReason();
const key0 = new Uint8Array(4);

describe.skipIf(skip)(`pinning and adoption${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let mount: number;
  /** A bpffs of this test's own, reachable from child processes through this one's fd. */
  let root: string;
  beforeAll(() => {
    mount = detachedMount("bpf");
    root = `/proc/${process.pid}/fd/${mount}`;
  });
  afterAll(() => close(mount));

  const spec = (maxEntries = 1) =>
    collectionOf(
      [countingProgram("p", ProgType.BPF_PROG_TYPE_XDP, 2)],
      [arrayMap("hits", maxEntries, { pinning: "by-name" })],
    );

  test("maps pinned by name are shared by the next load, contents and all", () => {
    const directory = `${root}/a`;
    const first = linuxTarget().load(spec(), { pinDirectory: directory });
    first.programs.get("p")!.testRun({ packet: new Uint8Array(64) });
    const { id } = first.maps.get("hits")!;
    first.close();
    using second = linuxTarget().load(spec(), { pinDirectory: directory });
    expect(second.maps.get("hits")!.id).toBe(id);
    expect(second.maps.get("hits")!.lookup(key0)![0]).toBe(1);
    expect(() => linuxTarget().load(spec(2), { pinDirectory: directory })).toThrow(
      `map hits: ${directory}/hits has maxEntries 1, expected 2`,
    );
    using alone = linuxTarget().load(spec());
    expect(alone.maps.get("hits")!.id).not.toBe(id);
  });

  test("a pinned map whose size is the machine's choice is found again", () => {
    const events = arrayMap("events", 0, {
      type: MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
      valueSize: 4,
      pinning: "by-name",
    });
    const load = () => linuxTarget().load(collectionOf([], [events]), { pinDirectory: `${root}/sized` });
    using first = load();
    using second = load();
    expect(second.maps.get("events")!.id).toBe(first.maps.get("events")!.id);
  });

  test("a load that fails pins nothing", () => {
    const directory = `${root}/b`;
    const bad = collectionOf(
      [countingProgram("p", ProgType.BPF_PROG_TYPE_XDP, 2, { code: new Uint8Array(8) })],
      [arrayMap("hits", 1, { pinning: "by-name" })],
    );
    expect(() => linuxTarget().load(bad, { pinDirectory: directory })).toThrow();
    expect(readdirSync(root)).not.toContain("b");
  });

  test("what is opened is checked for its kind", () => {
    using loaded = linuxTarget().load(spec(), { pinDirectory: `${root}/c` });
    expect(() => openProgram({ path: `${root}/c/hits` })).toThrow(new RangeError(`prog ${root}/c/hits: is a map`));
    expect(() => openMap({ path: `${root}/c/none` })).toThrow(new RangeError(`map ${root}/c/none: does not exist`));
    using map = openMap({ id: loaded.maps.get("hits")!.id });
    expect(map.spec).toMatchObject({ name: "hits", type: MapType.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 8 });
    expect(() => loaded.programs.get("p")!.close()).not.toThrow();
  });

  test("kill -9 leaves a pinned plane forwarding, and a restart adopts it", async () => {
    using net = createTopology();
    const script = new URL("./testdata/attach-and-wait.ts", import.meta.url).pathname;
    const pin = `${root}/link`;
    const child = net.edge.run(() =>
      spawn(process.execPath, ["--import", "tsx", "--conditions=source", script, "e0", "pinned", pin], {
        stdio: ["ignore", "pipe", "inherit"],
      }),
    );
    const line = (await new Promise<Buffer>((resolve) => child.stdout!.once("data", resolve))).toString().trim();
    expect(line).toBe("attached native");
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("exit", resolve));
    const { xdp } = getLink(net.edge.route, "e0");
    expect(xdp?.mode).toBe("native");
    expect(net.client.spawnSync("ping", ["-c3", "-i0.2", "-W5", "10.2.0.2"]).status).toBe(0);

    const target = linuxTarget({ netns: net.edge.fd });
    using loaded = target.load(collectionOf([countingProgram("p", ProgType.BPF_PROG_TYPE_XDP, 2)], [arrayMap("hits")]));
    const link = net.edge.run(() => openLink({ path: pin }));
    expect(link.hook).toEqual({ kind: "xdp", iface: "e0", mode: "auto" });
    expect(net.edge.run(listLinkObjects)).toContainEqual(
      expect.objectContaining({ id: link.id, type: "xdp", progId: xdp!.progId, hook: link.hook }),
    );
    link.update(loaded.programs.get("p")!);
    expect(getLink(net.edge.route, "e0").xdp?.progId).toBe(loaded.programs.get("p")!.id);
    unlinkSync(pin);
    link.close();
    // The file's part is given up a grace period later.
    await expect.poll(() => getLink(net.edge.route, "e0").xdp).toBeUndefined();
  });
});
