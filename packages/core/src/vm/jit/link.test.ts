import { describe, expect, test } from "vitest";
import { seededRandom } from "../../bytes/index.ts";
import { imageBytes } from "../../maps/index.ts";
import { Machine } from "../machine.ts";
import { link, type OwnFunction, readPrebuilt } from "./link.ts";
import { I32, I64, newSink, Op, putUleb5, sleb32, sleb64, u8, uleb, uleb5, WASM_HEADER, written } from "./wasm.ts";

const MEMORY = { initial: 1, maximum: 65535, shared: false };

/** A function of no parameters that pushes one constant: what V8 reads back is what was written. */
function constantModule(type: number, write: (code: ReturnType<typeof newSink>) => void): WebAssembly.Instance {
  const code = newSink();
  write(code);
  const f: OwnFunction = {
    type: { params: [], results: [type] },
    locals: [],
    code,
    calls: [],
    typeUses: [],
    exportAs: "f",
  };
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65535 });
  return new WebAssembly.Instance(new WebAssembly.Module(link(undefined, [f], { memory: MEMORY }).bytes), {
    env: { memory },
  });
}

describe("LEB128", () => {
  test("64-bit constants come back from V8 as they were written", () => {
    const random = seededRandom(3);
    const edges = [
      0n,
      1n,
      -1n,
      63n,
      64n,
      -64n,
      -65n,
      2n ** 31n,
      -(2n ** 31n),
      2n ** 32n - 1n,
      2n ** 63n - 1n,
      -(2n ** 63n),
    ];
    const others = Array.from(
      { length: 40 },
      () => BigInt.asIntN(64, (BigInt(random.u32()) << 32n) | BigInt(random.u32())) >> BigInt(random.below(64)),
    );
    for (const value of [...edges, ...others]) {
      const { exports } = constantModule(I64, (code) => {
        u8(code, Op.i64_const);
        sleb64(code, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
      });
      expect((exports.f as () => bigint)()).toBe(value);
    }
  });

  test("32-bit constants come back too", () => {
    for (const value of [0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, 0x7fffffff, -0x80000000]) {
      const { exports } = constantModule(I32, (code) => {
        u8(code, Op.i32_const);
        sleb32(code, value);
      });
      expect((exports.f as () => number)()).toBe(value);
    }
  });

  test("five-byte numbers can be written over", () => {
    const sink = newSink();
    uleb5(sink, 0);
    putUleb5(sink.bytes, 0, 0xffffffff);
    expect([...written(sink)]).toEqual([0xff, 0xff, 0xff, 0xff, 0x0f]);
    const short = newSink();
    uleb(short, 300);
    expect([...written(short)]).toEqual([0xac, 0x02]);
  });
});

describe("linking with the map runtime", () => {
  const machine = new Machine();
  const prebuilt = readPrebuilt(imageBytes(machine.runtime.image));
  const caller = (name: string, params: number): OwnFunction => {
    const code = newSink();
    for (let i = 0; i < params; i++) {
      u8(code, Op.local_get);
      uleb(code, i);
    }
    u8(code, Op.call);
    const at = code.length;
    uleb5(code, 0);
    const type = { params: Array.from({ length: params }, () => I32), results: [I32] };
    return { type, locals: [], code, calls: [{ at, callee: { kind: "prebuilt", name } }], typeUses: [], exportAs: "f" };
  };

  test("copies what is called, and answers as the runtime's own instance", () => {
    const map = machine.createMap({ name: "m", type: 1, keySize: 4, valueSize: 8, maxEntries: 4, flags: 0 });
    map.update(Uint8Array.of(1, 2, 3, 4), new Uint8Array(8));
    const { bytes } = link(prebuilt, [caller("hash_lookup4", 2)], { memory: MEMORY });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: machine.runtime.env });
    const lookup = instance.exports.f as (map: number, key: number) => number;
    expect(lookup(map.addr, 0x04030201)).toBe(machine.runtime.exports.hash_lookup4(map.addr, 0x04030201));
    expect(lookup(map.addr, 0x04030201)).toBeGreaterThan(0);
    expect(lookup(map.addr, 7)).toBe(0);
  });

  test("leaves the rest of the runtime out", () => {
    const { bytes } = link(prebuilt, [caller("hash_lookup4", 2)], { memory: MEMORY });
    expect(bytes.length).toBeLessThan(imageBytes(machine.runtime.image).length / 4);
  });

  test("every function of the runtime can be linked", () => {
    for (const name of prebuilt.exports.keys()) {
      const { bytes } = link(
        prebuilt,
        [{ ...caller(name, 0), code: unreachableCall(), calls: [{ at: 2, callee: { kind: "prebuilt", name } }] }],
        { memory: MEMORY },
      );
      expect(WebAssembly.validate(bytes), name).toBe(true);
    }
  });

  /** After `unreachable` a call may take any arguments and leave any results. */
  function unreachableCall(): ReturnType<typeof newSink> {
    const code = newSink();
    u8(code, Op.unreachable);
    u8(code, Op.call);
    uleb5(code, 0);
    u8(code, Op.unreachable);
    return code;
  }

  test("refuses a function that the runtime does not have, and bytes that are no module", () => {
    expect(() => link(prebuilt, [caller("hash_lookup5", 2)], { memory: MEMORY })).toThrow("no function hash_lookup5");
    expect(() => readPrebuilt(Uint8Array.of(...WASM_HEADER, 1, 5, 3, 0x60))).toThrow("ends at byte");
  });
});
