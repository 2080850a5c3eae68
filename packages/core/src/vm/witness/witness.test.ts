import { expect, test } from "vitest";
import { assemble } from "../../asm/index.ts";
import { type MapSpec, MapType, type ProgramSpec, ProgType } from "../../object/index.ts";
import { verify } from "../../verifier/index.ts";
import { findPacket, type Witness } from "./index.ts";

const P = ProgType;
const MAPS = new Map<string, MapSpec>([
  ["hash", { name: "hash", type: MapType.BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 16, maxEntries: 10, flags: 0 }],
  ["array", { name: "array", type: MapType.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 8, maxEntries: 4, flags: 0 }],
]);

function witness(type: number, text: string): Witness | undefined {
  const { code, relocs, lineInfo } = assemble(text);
  const base = { name: "t", section: "", attachType: 0, flags: 0, funcInfo: [] };
  const program: ProgramSpec = { ...base, type, code, relocs, lineInfo };
  const report = verify(program, { maps: MAPS, license: "GPL" });
  expect(report.verdict).toBe("reject");
  return findPacket(program, MAPS, "GPL", report.trace);
}

const SHORT = `
  r2 = *(u32 *)(r1 +76)
  r3 = *(u32 *)(r1 +80)`;

test("a tc program: fields of the skb and bytes of the packet decide", () => {
  const found = witness(
    P.BPF_PROG_TYPE_SCHED_CLS,
    `${SHORT}
    r4 = *(u32 *)(r1 +8)
    if r4 != 0x1234 goto out
    r5 = *(u32 *)(r1 +16)
    if r5 != 8 goto out
    r4 = r2
    r4 += 34
    if r4 > r3 goto out
    r4 = *(u8 *)(r2 +23)
    if r4 != 17 goto out
    r0 = *(u32 *)(r2 +42)
    out: r0 = 0
    exit`,
  )!;
  expect(found.ctx.mark).toBe(0x1234);
  // Its protocol is the EtherType of the frame.
  expect([...found.packet.subarray(12, 14)]).toEqual([8, 0]);
  expect(found.packet[23]).toBe(17);
  expect(found.packet.length).toBeLessThan(46);
  expect(found.fault).toContain("read of 4 bytes");
});

test("a cgroup program: its data begins behind the link header of the frame", () => {
  const found = witness(
    P.BPF_PROG_TYPE_CGROUP_SKB,
    `${SHORT}
    r4 = r2
    r4 += 1
    if r4 > r3 goto out
    r4 = *(u8 *)(r2 +0)
    if r4 != 0x45 goto out
    r0 = *(u8 *)(r2 +9)
    out: r0 = 1
    exit`,
  )!;
  expect(found.packet[14]).toBe(0x45);
  expect(found.packet.length).toBeLessThan(24);
  expect(found.fault).toBeDefined();
});

test("a socket filter: legacy loads are followed", () => {
  const found = witness(
    P.BPF_PROG_TYPE_SOCKET_FILTER,
    `
    r6 = r1
    r0 = *(u16 *)skb[2]
    if r0 != 0x1122 goto out
    r0 = *(u64 *)(r10 -520)
    out: r0 = 0
    exit`,
  )!;
  expect([...found.packet.subarray(16, 18)]).toEqual([0x11, 0x22]);
});

test("bytes that a helper copies from the packet are bytes of the packet", () => {
  const found = witness(
    P.BPF_PROG_TYPE_SCHED_CLS,
    `
    r2 = 20
    r3 = r10
    r3 += -8
    r4 = 8
    call 26
    if r0 s< 0 goto out
    r1 = *(u16 *)(r10 -6)
    if r1 != 0x3412 goto out
    r0 = *(u64 *)(r10 -520)
    out: r0 = 0
    exit`,
  )!;
  expect([...found.packet.subarray(22, 24)]).toEqual([0x12, 0x34]);
});

const LOOKUP = (map: string, key: string) => `
  *(u32 *)(r10 -4) = ${key}
  r2 = r10
  r2 += -4
  r1 = map[${map}]
  call 1`;

test("the path behind a hit needs an entry, and one where its value says so needs that value", () => {
  const found = witness(
    P.BPF_PROG_TYPE_XDP,
    `${LOOKUP("hash", "7")}
    if r0 == 0 goto out
    r1 = *(u32 *)(r0 +8)
    if r1 != 0xabcd goto out
    r0 = *(u64 *)(r0 +16)
    out: r0 = 2
    exit`,
  )!;
  expect(found.entries).toHaveLength(1);
  const [entry] = found.entries;
  expect(entry!.map).toBe("hash");
  expect([...entry!.key]).toEqual([7, 0, 0, 0]);
  expect([...entry!.value.subarray(8, 12)]).toEqual([0xcd, 0xab, 0, 0]);
  expect(found.fault).toBeDefined();
});

test("the path behind a miss needs none", () => {
  const found = witness(P.BPF_PROG_TYPE_XDP, `${LOOKUP("hash", "7")}\nr0 = *(u32 *)(r0 +0)\nr0 = 2\nexit`)!;
  expect(found.entries).toEqual([]);
  expect(found.fault).toContain("read of 4 bytes");
});

test("a value of an array decides", () => {
  const found = witness(
    P.BPF_PROG_TYPE_XDP,
    `${LOOKUP("array", "2")}
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 +0)
    r2 = r10
    if r1 < 1000 goto out
    r2 += r1
    r0 = *(u8 *)(r2 +0)
    out: r0 = 2
    exit`,
  )!;
  expect(found.entries[0]).toMatchObject({ map: "array", key: Uint8Array.of(2, 0, 0, 0) });
  expect(new DataView(found.entries[0]!.value.buffer).getBigUint64(0, true)).toBeGreaterThanOrEqual(1000n);
});

test("an entry that one lookup must find and another must miss is no input", () => {
  const found = witness(
    P.BPF_PROG_TYPE_XDP,
    `${LOOKUP("hash", "7")}
    if r0 == 0 goto out
    ${LOOKUP("hash", "7")}
    if r0 != 0 goto out
    r0 = *(u32 *)(r0 +0)
    out: r0 = 2
    exit`,
  );
  expect(found).toBeUndefined();
});
