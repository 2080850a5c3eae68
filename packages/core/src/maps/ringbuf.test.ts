import { expect, test } from "vitest";
import { Memory } from "../mem/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";
import { createMap, createRuntime, type RingbufMap, type UserRingbufMap } from "./index.ts";

const PAGE = 4096;

function ring(type: number, shared = false) {
  const rt = createRuntime(new Memory({ shared }));
  const spec: MapSpec = { name: "events", type, keySize: 0, valueSize: 0, maxEntries: PAGE, flags: 0 };
  const map = createMap(rt, spec);
  const text = (at: number, bytes: readonly number[]) => rt.memory.u8.set(bytes, at);
  return { rt, map, x: rt.exports, text, scratch: rt.memory.alloc(PAGE) };
}

for (const shared of [false, true]) {
  test(`records arrive in order, whole over the end of the ring, and discarded ones do not (shared: ${shared})`, () => {
    const { rt, map, x } = ring(MapType.BPF_MAP_TYPE_RINGBUF, shared);
    const m = map as RingbufMap;
    let next = 0;
    let sent = 0;
    for (let round = 0; round < 400; round++) {
      const size = (round * 37) % 300;
      const at = x.ringbuf_reserve(m.addr, BigInt(size), 0n) >>> 0;
      expect(at).toBeGreaterThan(0);
      rt.memory.u8.fill(sent & 255, at, at + size);
      if (round % 7 === 3) x.ringbuf_discard(at, 0n);
      else {
        x.ringbuf_submit(at, 0n);
        sent++;
      }
      if (round % 4 === 3) {
        m.consume((record) => {
          expect(record.every((b) => b === (next & 255))).toBe(true);
          next++;
        });
      }
    }
    m.consume(() => next++);
    expect(next).toBe(sent);
    expect(m.consumerPosition).toBe(m.producerPosition);
  });
}

test("a record that is being written holds up the ones after it", () => {
  const { map, x } = ring(MapType.BPF_MAP_TYPE_RINGBUF);
  const m = map as RingbufMap;
  const first = x.ringbuf_reserve(m.addr, 8n, 0n) >>> 0;
  const second = x.ringbuf_reserve(m.addr, 8n, 0n) >>> 0;
  x.ringbuf_submit(second, 0n);
  expect(m.consume(() => {})).toBe(0);
  x.ringbuf_submit(first, 0n);
  expect(m.consume(() => {})).toBe(2);
});

test("a full ring refuses, and its positions can be asked", () => {
  const { map, x, scratch } = ring(MapType.BPF_MAP_TYPE_RINGBUF);
  const m = map as RingbufMap;
  expect(x.ringbuf_reserve(m.addr, 4089n, 0n)).toBe(0);
  expect(x.ringbuf_reserve(m.addr, 8n, 1n)).toBe(0);
  // The ring never fills to the last byte.
  expect(x.ringbuf_reserve(m.addr, 4088n, 0n)).toBe(0);
  expect(x.ringbuf_output(m.addr, scratch, 4072n, 0n)).toBe(0);
  expect(x.ringbuf_output(m.addr, scratch, 8n, 0n)).toBe(-11);
  expect(x.ringbuf_output(m.addr, scratch, 8n, 4n)).toBe(-22);
  expect([0n, 1n, 2n, 3n, 4n, 1n << 32n].map((q) => x.ringbuf_query(m.addr, q))).toEqual([
    4080n,
    4096n,
    0n,
    4080n,
    0n,
    0n,
  ]);
  m.consume(() => {});
  expect(x.ringbuf_output(m.addr, scratch, 8n, 0n)).toBe(0);
});

test("the consumer is woken when it has read up to the new record, or by flag", () => {
  const { map, x, scratch } = ring(MapType.BPF_MAP_TYPE_RINGBUF);
  const m = map as RingbufMap;
  let woken = 0;
  m.onWakeup = () => woken++;
  x.ringbuf_output(m.addr, scratch, 8n, 0n);
  expect(woken).toBe(1);
  x.ringbuf_output(m.addr, scratch, 8n, 0n);
  expect(woken).toBe(1);
  x.ringbuf_output(m.addr, scratch, 8n, 2n);
  expect(woken).toBe(2);
  m.consume(() => {});
  x.ringbuf_output(m.addr, scratch, 8n, 1n);
  expect(woken).toBe(2);
});

test("programs drain what userspace produced", () => {
  const { rt, map, x, scratch } = ring(MapType.BPF_MAP_TYPE_USER_RINGBUF);
  const m = map as UserRingbufMap;
  expect(x.user_ringbuf_peek(m.addr, scratch)).toBe(-61);
  expect(m.produce(new Uint8Array([1, 2, 3]))).toBe(true);
  expect(x.user_ringbuf_peek(m.addr, scratch)).toBe(3);
  const at = rt.memory.view.getUint32(scratch, true);
  expect([...rt.memory.u8.subarray(at, at + 3)]).toEqual([1, 2, 3]);
  x.user_ringbuf_release(m.addr, 3);
  expect(x.user_ringbuf_peek(m.addr, scratch)).toBe(-61);
  let fitted = 0;
  while (m.produce(new Uint8Array(100))) fitted++;
  expect(fitted).toBe(Math.floor(PAGE / 112));
});

test("bpf(2) reads and writes no elements of a ring", () => {
  const { map } = ring(MapType.BPF_MAP_TYPE_RINGBUF);
  expect(() => map.lookup(new Uint8Array(0))).toThrow("ENOTSUPP");
  expect(() => map.update(new Uint8Array(0), new Uint8Array(0))).toThrow("ENOTSUPP");
  expect(() => map.delete(new Uint8Array(0))).toThrow("ENOTSUPP");
  expect(() => map.nextKey()).toThrow("ENOTSUPP");
});
