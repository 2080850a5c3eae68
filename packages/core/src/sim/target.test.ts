import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { SysError, VerifierError } from "../errors/index.ts";
import { type CollectionSpec, type MapSpec, MapType, type ProgramSpec, ProgType } from "../object/index.ts";
import { SimTarget } from "./index.ts";

function collection(programs: Record<string, string>, maps: readonly MapSpec[] = []): CollectionSpec {
  const specs = Object.entries(programs).map(([name, text]): [string, ProgramSpec] => {
    const { code, relocs, lineInfo } = assemble(text, { file: `${name}.s` });
    const base = { section: "xdp", type: ProgType.BPF_PROG_TYPE_XDP, attachType: 0, flags: 0, funcInfo: [] };
    return [name, { ...base, name, code, relocs, lineInfo }];
  });
  return {
    programs: new Map(specs),
    maps: new Map(maps.map((m) => [m.name, m])),
    license: "GPL",
    byteOrder: "little",
  } as CollectionSpec;
}

const VERDICT = (n: number): string => `r0 = ${n}\nexit`;

/** The verdict is the packet's first byte. */
const FIRST_BYTE = `
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r4 = r2
r4 += 1
if r4 > r3 goto short
r0 = *(u8 *)(r2 + 0)
exit
short:
r0 = 0
exit`;

const DEVMAP: MapSpec = {
  name: "ports",
  type: MapType.BPF_MAP_TYPE_DEVMAP,
  keySize: 4,
  valueSize: 4,
  maxEntries: 4,
  flags: 0,
  contents: [{ key: Uint8Array.of(2, 0, 0, 0), value: Uint8Array.of(3, 0, 0, 0) }],
};

const REDIRECT = `
r1 = map[ports]
r2 = 2
r3 = 0
call 51
exit`;

function frame(first: number): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes[0] = first;
  return bytes;
}

test.each(["interp", "jit"] as const)("each XDP verdict has the kernel's effect on %s", (engine) => {
  const sim = new SimTarget({ devices: ["a", "b"], engine });
  const device = sim.device("a");
  const stack: number[] = [];
  const sent: number[] = [];
  device.onStack = (bytes) => stack.push(bytes[0]!);
  device.onTransmit = (bytes) => sent.push(bytes[0]!);
  expect(device.receive(frame(9), 0n)).toBe("stack");
  using live = sim.load(collection({ p: FIRST_BYTE }));
  using link = sim.attach(live.programs.get("p")!, { kind: "xdp", iface: "a", mode: "auto" });
  expect([0, 1, 2, 3, 4, 5, 255].map((n) => device.receive(frame(n), 0n))).toEqual([
    "aborted",
    "dropped",
    "stack",
    "transmitted",
    "missing",
    "aborted",
    "aborted",
  ]);
  expect({ stack, sent }).toEqual({ stack: [9, 2], sent: [3] });
  expect(device.stats).toMatchObject({ rxPackets: 8, txPackets: 1, txBytes: 60 });
  link.close();
  expect(device.receive(frame(1), 0n)).toBe("stack");
});

test.each(["interp", "jit"] as const)(
  "a redirect through a devmap leaves by the device that it names on %s",
  (engine) => {
    const sim = new SimTarget({ devices: ["a", "b"], engine });
    const out: Uint8Array[] = [];
    sim.device("b").onTransmit = (bytes) => out.push(bytes.slice());
    using live = sim.load(collection({ p: REDIRECT }, [DEVMAP]));
    using link = sim.attach(live.programs.get("p")!, { kind: "xdp", iface: "a", mode: "auto" });
    expect(sim.device("a").receive(frame(7), 0n)).toBe("redirected");
    expect(out).toEqual([frame(7)]);
    live.maps.get("ports")!.delete(Uint8Array.of(2, 0, 0, 0));
    expect(sim.device("a").receive(frame(7), 0n)).toBe("aborted");
    expect(link.mode).toBe("sim");
  },
);

test("an update changes the program without a packet in between", () => {
  const sim = new SimTarget({ devices: ["a"] });
  using live = sim.load(collection({ drop: VERDICT(1), pass: VERDICT(2) }));
  using link = sim.attach(live.programs.get("drop")!, { kind: "xdp", iface: "a", mode: "auto" });
  expect(sim.device("a").receive(frame(0), 0n)).toBe("dropped");
  link.update(live.programs.get("pass")!);
  expect(sim.device("a").receive(frame(0), 0n)).toBe("stack");
  expect(() => sim.attach(live.programs.get("drop")!, { kind: "xdp", iface: "a", mode: "auto" })).toThrow(SysError);
});

test("a program that the verifier rejects is not loaded, and its line is named", () => {
  const sim = new SimTarget({ devices: ["a"] });
  const bad = collection({ ok: VERDICT(2), bad: "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nexit" });
  let thrown: unknown;
  try {
    sim.load(bad);
  } catch (e) {
    thrown = e;
  }
  expect(thrown).toBeInstanceOf(VerifierError);
  expect((thrown as VerifierError).pc).toBe(1);
  expect((thrown as VerifierError).message).toMatch(/^bad\.s:2: bad: /);
});

test("a test run answers like BPF_PROG_TEST_RUN", () => {
  const sim = new SimTarget();
  using live = sim.load(collection({ p: FIRST_BYTE }));
  const p = live.programs.get("p")!;
  expect(p.testRun({ packet: frame(4) })).toMatchObject({ verdict: 4, packet: frame(4) });
  expect(() => p.testRun({ packet: new Uint8Array(13) })).toThrow("expected a frame of at least 14 bytes, got 13");
});

test("devices and hooks that are not there are named", () => {
  const sim = new SimTarget({ devices: ["a"] });
  using live = sim.load(collection({ p: VERDICT(2) }));
  expect(() => sim.ifindex("z")).toThrow("no device named z: the simulation has lo, a");
  expect(() => sim.addDevice("a")).toThrow("device a is there already");
  expect(() => sim.attach(live.programs.get("p")!, { kind: "xdp", iface: "z", mode: "auto" })).toThrow(
    "no device named z",
  );
});

test.each(["interp", "jit"] as const)("what no path reaches need not be there on %s", (engine) => {
  const text = `
    r1 = 7
    if r1 != 7 goto dead
    r0 = 2
    exit
    dead:
    r1 = map[gone] ll
    call 195896080
    exit`;
  const gone: MapSpec = {
    name: "gone",
    type: MapType.BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: 4,
    maxEntries: 1,
    flags: 0,
  };
  using live = new SimTarget({ devices: ["a"], engine }).load(collection({ main: text }, [gone]));
  expect(live.programs.get("main")!.testRun({ packet: frame(0) }).verdict).toBe(2);
});
