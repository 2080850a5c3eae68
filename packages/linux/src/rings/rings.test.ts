import { BtfBuilder } from "@ebplane/core/btf";
import { type MapSpec, MapType, ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import type { LinuxMap } from "../bpf/index.ts";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, asmProgram, collectionOf, kernelLacks, kernelSkipReason } from "../testing.ts";
import { PerfReader, RingBufReader, UserRingBufWriter } from "./index.ts";

const skip = kernelSkipReason();
const noUserRing = kernelLacks("mapTypes", "user_ringbuf");
const XDP = ProgType.BPF_PROG_TYPE_XDP;
const packet = new Uint8Array(64);

const ring = (maxEntries: number, type: number = MapType.BPF_MAP_TYPE_RINGBUF): MapSpec => ({
  name: "events",
  type,
  keySize: 0,
  valueSize: 0,
  maxEntries,
  flags: 0,
});

/** Sends `length` bytes that begin with a running number; `seq` is [next number, refused]. */
const sender = (length: number) =>
  asmProgram(
    "send",
    XDP,
    `
    r6 = map[seq][0]+0
    r1 = *(u64 *)(r6 + 0)
    *(u64 *)(r10 - ${length}) = r1
    ${Array.from({ length: length / 8 - 1 }, (_, i) => `*(u64 *)(r10 - ${length - 8 * (i + 1)}) = ${i}`).join("\n")}
    r1 += 1
    *(u64 *)(r6 + 0) = r1
    r1 = map[events]
    r2 = r10
    r2 += -${length}
    r3 = ${length}
    r4 = 0
    call 130
    if r0 == 0 goto done
    r1 = *(u64 *)(r6 + 8)
    r1 += 1
    *(u64 *)(r6 + 8) = r1
  done:
    r0 = 2
    exit`,
  );
const seq = arrayMap("seq", 1, { valueSize: 16 });

const number = (record: Uint8Array): number =>
  Number(new DataView(record.buffer, record.byteOffset).getBigUint64(0, true));

describe.skipIf(skip)(`rings${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("a ring buffer gives every record once, in order, over many turns; what is refused the program counts", () => {
    using loaded = linuxTarget().load(collectionOf([sender(24)], [ring(4096), seq]));
    const send = loaded.programs.get("send")!;
    using reader = new RingBufReader(loaded.maps.get("events") as LinuxMap);
    const got: number[] = [];
    let sent = 0;
    for (const n of [1, 50, 127, 3, 100, 127, 64]) {
      send.testRun({ packet, repeat: n });
      sent += n;
      expect(reader.consume((r) => got.push(number(r)))).toBe(n);
      expect(reader.pending).toBe(0);
    }
    expect(got).toEqual(Array.from({ length: sent }, (_, i) => i));
    send.testRun({ packet, repeat: 200 });
    const refused = new DataView(loaded.maps.get("seq")!.lookup(new Uint8Array(4))!.buffer).getBigUint64(8, true);
    expect(reader.consume(() => {}, 5)).toBe(5);
    expect(5 + reader.consume(() => {}) + Number(refused)).toBe(200);
  });

  test("a callback that throws loses its record and no other", () => {
    using loaded = linuxTarget().load(collectionOf([sender(16)], [ring(4096), seq]));
    using reader = new RingBufReader(loaded.maps.get("events") as LinuxMap);
    loaded.programs.get("send")!.testRun({ packet, repeat: 3 });
    const got: number[] = [];
    expect(() =>
      reader.consume((r) => {
        got.push(number(r));
        if (got.length === 2) throw new Error("enough");
      }),
    ).toThrow("enough");
    reader.consume((r) => got.push(number(r)));
    expect(got).toEqual([0, 1, 2]);
  });

  test("records wake an async iterator", async () => {
    using loaded = linuxTarget().load(collectionOf([sender(64)], [ring(1 << 16), seq]));
    using reader = new RingBufReader(loaded.maps.get("events") as LinuxMap);
    const send = loaded.programs.get("send")!;
    setTimeout(() => send.testRun({ packet }), 5);
    setTimeout(() => send.testRun({ packet, repeat: 2 }), 20);
    const got: number[] = [];
    for await (const record of reader) {
      expect(record.length).toBe(64);
      got.push(number(record));
      if (got.length === 3) break;
    }
    expect(got).toEqual([0, 1, 2]);
  });

  test("a reader that is closed refuses use, and the map can be read anew", () => {
    using loaded = linuxTarget().load(collectionOf([sender(16)], [ring(4096), seq]));
    const map = loaded.maps.get("events") as LinuxMap;
    const first = new RingBufReader(map);
    first.close();
    first.close();
    expect(() => first.consume(() => {})).toThrow(new TypeError("ring buffer events: is closed"));
    using second = new RingBufReader(map);
    loaded.programs.get("send")!.testRun({ packet });
    expect(second.consume(() => {})).toBe(1);
  });

  test("perf events come with their CPU, and what was lost is counted", () => {
    const text = `
      r6 = r1
      r7 = map[seq][0]+0
      r1 = *(u64 *)(r7 + 0)
      *(u64 *)(r10 - 16) = r1
      *(u64 *)(r10 - 8) = 7
      r1 += 1
      *(u64 *)(r7 + 0) = r1
      r1 = r6
      r2 = map[events]
      w3 = -1
      r4 = r10
      r4 += -16
      r5 = 16
      call 25
      r0 = 2
      exit`;
    const events = { ...ring(0, MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY), keySize: 4, valueSize: 4 };
    using loaded = linuxTarget().load(collectionOf([asmProgram("send", XDP, text)], [events, seq]));
    using reader = new PerfReader(loaded.maps.get("events") as LinuxMap, 1);
    const send = loaded.programs.get("send")!;
    const got: number[] = [];
    const record = (event: Uint8Array) => got.push(number(event));
    // A record takes 32 bytes of the 4096: several turns of the ring, and records across its end.
    for (let i = 0; i < 10; i++) {
      send.testRun({ packet, repeat: 100 });
      reader.consume(record);
    }
    // This process may have changed its CPU, and each has a ring of its own.
    expect(got.sort((x, y) => x - y)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    send.testRun({ packet, repeat: 300 });
    const kept = reader.consume(() => {});
    expect(kept).toBeLessThan(300);
    if (reader.lost === 0) {
      // Before Linux 6.0 the kernel tells of losses with the next event that fits.
      send.testRun({ packet });
      expect(reader.consume(() => {})).toBe(1);
    }
    expect(kept + reader.lost).toBe(300);
    const { lost } = reader;
    reader.close();
    expect(reader.lost).toBe(lost);
  });

  test("a perf event that comes before the loop has begun to wait is not left for the next one", async () => {
    const text = "r2 = map[events]\nw3 = -1\n*(u64 *)(r10 - 8) = 7\nr4 = r10\nr4 += -8\nr5 = 8\ncall 25\nr0 = 2\nexit";
    const events = { ...ring(0, MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY), keySize: 4, valueSize: 4 };
    using loaded = linuxTarget().load(collectionOf([asmProgram("send", XDP, text)], [events]));
    using reader = new PerfReader(loaded.maps.get("events") as LinuxMap, 1);
    let seen = 0;
    const stop = reader.watch(() => seen++);
    // Timers come before the loop tells the kernel what it waits for.
    setTimeout(() => loaded.programs.get("send")!.testRun({ packet }), 1);
    for (const end = performance.now() + 20; performance.now() < end; );
    await expect.poll(() => seen, { timeout: 2000 }).toBe(1);
    stop();
  });

  test("perf events wake an async iterator", async () => {
    const text = `
      r2 = map[events]
      w3 = -1
      *(u64 *)(r10 - 8) = 7
      r4 = r10
      r4 += -8
      r5 = 8
      call 25
      r0 = 2
      exit`;
    const events = { ...ring(0, MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY), keySize: 4, valueSize: 4 };
    using loaded = linuxTarget().load(collectionOf([asmProgram("send", XDP, text)], [events]));
    using reader = new PerfReader(loaded.maps.get("events") as LinuxMap, 1);
    setTimeout(() => loaded.programs.get("send")!.testRun({ packet }), 5);
    for await (const { cpu, event } of reader) {
      expect(cpu).toBeGreaterThanOrEqual(0);
      expect(number(event)).toBe(7);
      break;
    }
  });

  test.skipIf(noUserRing)("a user ring buffer carries records to the program, until it is full", () => {
    const b = new BtfBuilder();
    const long = b.int("long", 8, { encoding: "signed" });
    const proto = b.funcProto(long, [
      { name: "dynptr", type: b.ptr(0) },
      { name: "ctx", type: b.ptr(0) },
    ]);
    const main = b.func(
      "drain",
      b.funcProto(b.int("int", 4, { encoding: "signed" }), [{ name: "ctx", type: b.ptr(0) }]),
      "global",
    );
    const callback = b.func("each", proto, "static");
    const text = `
      r1 = map[events]
      r2 = subprog[+6]
      r3 = r10
      r4 = 0
      call 209
      r0 = 0
      exit
      r2 = 8
      r3 = r1
      r1 = r10
      r1 += -8
      r4 = 0
      r5 = 0
      call 201
      r1 = *(u64 *)(r10 - 8)
      r2 = map[seq][0]+0
      lock *(u64 *)(r2 + 0) += r1
      r0 = 0
      exit`;
    const program = asmProgram("drain", ProgType.BPF_PROG_TYPE_SYSCALL, text, { flags: 1 << 4 });
    const events = ring(4096, MapType.BPF_MAP_TYPE_USER_RINGBUF);
    const spec = collectionOf(
      [
        {
          ...program,
          funcInfo: [
            { pc: 0, name: "drain", typeId: main },
            { pc: 9, name: "each", typeId: callback },
          ],
          lineInfo: [],
        },
      ],
      [events, seq],
    );
    using loaded = linuxTarget().load({ ...spec, btf: b.build() });
    using writer = new UserRingBufWriter(loaded.maps.get("events") as LinuxMap);
    const record = (n: number) => new Uint8Array(BigUint64Array.of(BigInt(n)).buffer);
    let sum = 0;
    for (let turn = 0; turn < 3; turn++) {
      let written = 0;
      while (writer.write(record(written + 1))) sum += ++written;
      expect(written).toBe(4096 / 16);
      loaded.programs.get("drain")!.testRun({ packet: new Uint8Array(0) });
    }
    expect(number(loaded.maps.get("seq")!.lookup(new Uint8Array(4))!)).toBe(sum);
    expect(() => writer.write(new Uint8Array(4096))).toThrow(RangeError);
  });
});
