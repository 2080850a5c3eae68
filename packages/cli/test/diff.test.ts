import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeElf } from "@ebplane/core/elf";
import { MapType, ProgType } from "@ebplane/core/object";
import { generatePackets, writeCapture } from "@ebplane/core/wire";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";
import { ebplane, ebplaneJson, scratchFolder } from "./ebplane.ts";

const skip = kernelSkipReason();
const EDGE = "examples/edge/plane.yaml";

interface Answer {
  readonly packets: number;
  readonly engines: readonly string[];
  readonly differences: readonly {
    readonly what: string;
    readonly packet: number;
    readonly values: Record<string, string>;
  }[];
}

/** `count` packets of all kinds, a third of them broken somewhere, none too short for a test run. */
function generated(seed: number, count: number): string {
  const packets: { timestampNs: bigint; bytes: Uint8Array }[] = [];
  for (const { bytes } of generatePackets({ seed, broken: 0.33 })) {
    if (bytes.length >= 14 && bytes.length <= 3500) packets.push({ timestampNs: BigInt(packets.length), bytes });
    if (packets.length === count) break;
  }
  const file = join(scratchFolder(), "generated.pcap");
  writeFileSync(file, writeCapture(packets));
  return file;
}

describe.skipIf(skip)(`ebplane diff${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("frames that every engine refuses and maps that cannot be read are no difference", () => {
    const events = { ...arrayMap("events"), type: MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY, valueSize: 4, maxEntries: 0 };
    const text = "r1 = map[events]\nr0 = 0\nexit";
    const program = asmProgram("look", ProgType.BPF_PROG_TYPE_SCHED_CLS, text, { section: "tc" });
    const folder = scratchFolder();
    const [object, pcap] = [join(folder, "look.o"), join(folder, "two.pcap")];
    writeFileSync(object, writeElf(collectionOf([program], [events])));
    // An IPv4 frame without a whole header: the test run of an skb program answers EINVAL.
    const short = new Uint8Array(20);
    short.set([0x08, 0x00, 0x45], 12);
    const packets = [short, new Uint8Array(64)].map((bytes) => ({ timestampNs: 0n, bytes }));
    writeFileSync(pcap, writeCapture(packets));
    const { code, json } = ebplaneJson<Answer>(["diff", object, "--pcap", pcap]);
    expect([code, json.differences, json.packets]).toEqual([0, [], 2]);
    const { stderr } = ebplane(["diff", object, "--pcap", pcap]);
    expect(stderr).toMatch(/map events is not compared: perf_event_array/);
  });

  test("the edge plane on its captures is the same on kernel, JIT and interpreter", () => {
    const { code, json } = ebplaneJson<Answer>(["diff", EDGE]);
    expect(json).toMatchObject({ engines: ["kernel", "jit", "interp"], differences: [] });
    expect(json.packets).toBeGreaterThan(3000);
    expect(code).toBe(0);
  });

  test("the edge plane on generated packets is the same too", () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
    console.log(`seed ${seed}`);
    const { code, json } = ebplaneJson<Answer>(["diff", EDGE, "--pcap", generated(seed, 3000)]);
    expect({ code, differences: json.differences, packets: json.packets }).toEqual({
      code: 0,
      differences: [],
      packets: 6000,
    });
  });
});

test("a difference is found, with the packet and what each engine has", () => {
  // The clock is the one thing in which two runs must part: the program counts the bits of it in a map.
  const folder = scratchFolder();
  const source = join(folder, "clock.bpf.ts");
  writeFileSync(
    source,
    `import { array, getPrandomU32, u32, u64, xdp, XDP_PASS } from "ebplane/bpf";
export const seen = array(u64, { maxEntries: 1 });
export const clock = xdp((ctx) => {
  const v = seen.lookup(0);
  if (v && ctx.length > 60) v.value = u64(getPrandomU32()) + 1n;
  return XDP_PASS;
});
`,
  );
  const pcap = join(folder, "two.pcap");
  writeFileSync(
    pcap,
    writeCapture([60, 60, 61, 60].map((n, i) => ({ timestampNs: BigInt(i), bytes: new Uint8Array(n) }))),
  );
  const engines = skip ? "jit,interp" : "kernel,interp";
  const { code, json } = ebplaneJson<Answer>(["diff", source, "--pcap", pcap, "--engines", engines]);
  if (skip) {
    // jit and interp share the seeded random numbers of sim: they agree.
    expect({ code, differences: json.differences }).toEqual({ code: 0, differences: [] });
  } else {
    expect(code).toBe(1);
    expect(json.differences).toHaveLength(1);
    expect(json.differences[0]).toMatchObject({ what: "map", packet: 3, map: "seen", key: "00000000" });
  }
});

test.each([
  [["diff", EDGE, "--engines", "jit"], "--engines: expected at least two engines to compare"],
  [["diff", EDGE, "--engines", "jit,gpu"], "--engines: expected jit, interp, kernel, got gpu"],
  [["diff", "examples/programs/count.bpf.ts"], "diff: name the packets with --pcap FILE"],
])("ebplane %j is a usage mistake", (args, message) => {
  const { code, stderr } = ebplane(args);
  expect({ code, stderr }).toEqual({ code: 2, stderr: `${message}\n` });
});
