import { BPF_F_MMAPABLE, ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import { type LinuxMap, mapFreeze } from "../bpf/index.ts";
import { mapAnonymous, mapFd, releaseRegion } from "../mem/index.ts";
import { MAP_SHARED, PROT_READ } from "../sys/index.ts";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, asmProgram, COUNT_HIT, collectionOf, kernelSkipReason } from "../testing.ts";
import { MappedArray } from "./index.ts";

const skip = kernelSkipReason();

describe.skipIf(skip)(`arrays in place${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const spec = (valueSize = 8) =>
    collectionOf(
      [asmProgram("count", ProgType.BPF_PROG_TYPE_XDP, `${COUNT_HIT}\nr0 = 2\nexit`)],
      [arrayMap("hits", 600, { flags: BPF_F_MMAPABLE, valueSize })],
    );
  const run = (loaded: ReturnType<ReturnType<typeof linuxTarget>["load"]>) =>
    loaded.programs.get("count")!.testRun({ packet: new Uint8Array(64) });

  test("a program's writes are seen at once, and ours by the program and the map", () => {
    using loaded = linuxTarget().load(spec(12));
    const map = loaded.maps.get("hits") as LinuxMap;
    using array = new MappedArray(map);
    expect([array.length, array.writable]).toEqual([600, true]);
    run(loaded);
    expect(array.load(0)).toBe(1n);
    array.store(0, 41n);
    run(loaded);
    expect(array.add(0, 8n)).toBe(42n);
    expect(map.lookup(new Uint8Array(4))!.slice(0, 8)).toEqual(new Uint8Array(BigUint64Array.of(50n).buffer));
    // Values stand in steps of 8 bytes.
    array.write(599, Uint8Array.of(1, 2, 3), 9);
    expect(map.lookup(new Uint8Array(Uint32Array.of(599).buffer))).toEqual(array.read(599));
    expect([...array.read(599).subarray(8)]).toEqual([0, 1, 2, 3]);
  });

  test("nothing is reached outside, after close, or where it may only be read", () => {
    using loaded = linuxTarget().load(spec());
    const map = loaded.maps.get("hits") as LinuxMap;
    const array = new MappedArray(map);
    expect(() => array.load(600)).toThrow(new RangeError("map hits: need an index below 600, have 600"));
    expect(() => array.load(-1)).toThrow(RangeError);
    expect(() => array.load(0, 4)).toThrow("need an offset in steps of 8");
    expect(() => array.load(0, 8)).toThrow("need 8 bytes at 8, a value has 8");
    expect(() => array.write(1, new Uint8Array(9))).toThrow("need 9 bytes at 0, a value has 8");
    array.close();
    array.close();
    expect(() => array.load(0)).toThrow(new TypeError("mapped array hits: is closed"));
    mapFreeze(map.fd);
    using frozen = new MappedArray(map);
    expect(frozen.writable).toBe(false);
    expect(frozen.load(0)).toBe(0n);
    expect(() => frozen.store(0, 1n)).toThrow(new TypeError("map hits: may only be read"));
    using plain = linuxTarget().load(collectionOf([], [arrayMap("plain")]));
    expect(() => new MappedArray(plain.maps.get("plain") as LinuxMap)).toThrow("expected an array with BPF_F_MMAPABLE");
  });

  test("memory that may only be read is never handed out again as memory to write", () => {
    using loaded = linuxTarget().load(spec());
    const { fd } = loaded.maps.get("hits") as LinuxMap;
    const readOnly = mapFd(fd, 4800, 0, PROT_READ, MAP_SHARED);
    releaseRegion(readOnly);
    const other = mapAnonymous(4800);
    expect(other.address).not.toBe(readOnly.address);
    const again = mapFd(fd, 4800, 0, PROT_READ, MAP_SHARED);
    expect(again.address).toBe(readOnly.address);
    for (const region of [other, again]) releaseRegion(region);
  });
});
