/** What writeElf makes is loaded by bpftool, ip and tc, into the kernel. */
import { assemble } from "@ebplane/core/asm";
import { BtfBuilder } from "@ebplane/core/btf";
import { writeElf } from "@ebplane/core/elf";
import {
  AttachType,
  type CollectionSpec,
  type MapSpec,
  MapType,
  type ProgramSpec,
  ProgType,
} from "@ebplane/core/object";
import { expect, test } from "vitest";
import { bpftoolLoad, missingKernel, missingTool, must, run, withFile, withNetns } from "./tools.ts";

const skip = missingKernel() ?? missingTool("ip", "tc");

const ASM = `
  r1 = 0
  call count
  r1 = map[.rodata][0]+4
  r0 = *(u32 *)(r1 + 0)
  exit
count:
  *(u32 *)(r10 - 4) = r1
  r2 = r10
  r2 += -4
  r1 = map[flows]
  call bpf_map_lookup_elem
  if r0 == 0 goto out
  r1 = 1
  lock *(u64 *)(r0 + 0) += r1
out:
  r0 = 2
  exit
`;

function collection(withBtf: boolean): CollectionSpec {
  const b = new BtfBuilder();
  const u32 = b.int("unsigned int", 4);
  const u64 = b.int("unsigned long long", 8);
  const int = b.int("int", 4, { encoding: "signed" });
  const proto = b.funcProto(int, [
    { name: "ctx", type: b.ptr(b.struct("xdp_md", 4, [{ name: "data", type: u32, offset: 0 }])) },
  ]);
  const count = b.func("count", b.funcProto(int, [{ name: "key", type: u32 }]), "static");
  const { code, relocs, lineInfo, labels } = assemble(ASM, { file: "count.s" });
  const program = (name: string, section: string, type: number, attachType: number): ProgramSpec => ({
    name,
    section,
    type,
    attachType,
    flags: 0,
    code,
    relocs,
    funcInfo: withBtf
      ? [
          { pc: 0, name, typeId: b.func(name, proto) },
          { pc: labels.get("count")!, name: "count", typeId: count },
        ]
      : [],
    lineInfo: withBtf ? lineInfo : [],
  });
  const array = (name: string): MapSpec => ({
    name,
    type: MapType.BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: 8,
    maxEntries: 4,
    flags: 0,
  });
  const key = (n: number) => Uint8Array.of(n, 0, 0, 0);
  const maps: MapSpec[] = [
    { ...array("flows"), type: MapType.BPF_MAP_TYPE_HASH, maxEntries: 16, keyTypeId: u32, valueTypeId: u64 },
    {
      ...array("jumps"),
      type: MapType.BPF_MAP_TYPE_PROG_ARRAY,
      valueSize: 4,
      contents: [{ key: key(1), value: { program: "first" } }],
    },
    {
      ...array("outer"),
      type: MapType.BPF_MAP_TYPE_ARRAY_OF_MAPS,
      valueSize: 4,
      inner: array("inner"),
      contents: [{ key: key(2), value: { map: "one" } }],
    },
    array("one"),
    {
      ...array(".rodata"),
      maxEntries: 1,
      flags: 128,
      frozen: true,
      contents: [{ key: key(0), value: Uint8Array.of(0, 0, 0, 0, 2, 0, 0, 0) }],
    },
  ];
  const programs = [
    program("first", "xdp", ProgType.BPF_PROG_TYPE_XDP, AttachType.BPF_XDP),
    program("second", "xdp", ProgType.BPF_PROG_TYPE_XDP, AttachType.BPF_XDP),
    program("classify", "tc", ProgType.BPF_PROG_TYPE_SCHED_CLS, 0),
  ];
  return {
    programs: new Map(programs.map((p) => [p.name, p])),
    maps: new Map(maps.map((m) => [m.name, m])),
    variables: new Map([
      ["verdict", { name: "verdict", map: ".rodata", offset: 4, size: 4, typeId: u32, linkage: "global" }],
    ]),
    license: "GPL",
    btf: withBtf ? b.build() : undefined,
    byteOrder: "little",
  };
}

test.skipIf(skip)("bpftool prog loadall takes programs, subprograms, maps, data, BTF and line info", () => {
  const object = writeElf(collection(true));
  const r = bpftoolLoad(object);
  expect(r.stderr).not.toContain("Error");
  expect(r.ok).toBe(true);
});

test.skipIf(skip)("an object whose collection has no BTF of programs loads too", () => {
  const { variables: _, ...plain } = collection(false);
  const maps = new Map([...plain.maps].map(([n, m]) => [n, { ...m, keyTypeId: 0, valueTypeId: 0 }]));
  const r = bpftoolLoad(writeElf({ ...plain, maps }));
  expect(r.stderr).not.toContain("Error");
  expect(r.ok).toBe(true);
});

test.skipIf(skip)("bpftool gen skeleton names every map, program and variable", () => {
  const text = withFile("flows.o", writeElf(collection(true)), (path) => must("bpftool", "gen", "skeleton", path));
  for (const name of ["*flows;", "*jumps;", "*outer;", "*one;", "*rodata;", "*first;", "*second;", "*classify;"]) {
    expect(text).toContain(name);
  }
  expect(text).toContain("unsigned int verdict;");
});

test.skipIf(skip)("ip link attaches it to a veth, tc to clsact", () => {
  const all = collection(true);
  // Both load one section's programs only, and libbpf then cannot fill a slot with another's.
  const spec = { ...all, maps: new Map([...all.maps].filter(([name]) => name !== "jumps")) };
  withNetns((netns) =>
    withFile("flows.o", writeElf(spec), (path) => {
      const ip = run("ip", "-n", netns, "link", "set", "dev", "left", "xdp", "obj", path, "sec", "xdp");
      expect(ip.stderr).toBe("");
      expect(must("ip", "-n", netns, "link", "show", "dev", "left")).toMatch(/prog\/xdp id \d+/);
      must("tc", "-n", netns, "qdisc", "add", "dev", "right", "clsact");
      const tc = run(
        "tc",
        "-n",
        netns,
        "filter",
        "add",
        "dev",
        "right",
        "ingress",
        "bpf",
        "da",
        "obj",
        path,
        "sec",
        "tc",
      );
      expect(tc.stderr).toBe("");
      expect(must("tc", "-n", netns, "filter", "show", "dev", "right", "ingress")).toContain("classify");
    }),
  );
});
