import { expect, test } from "vitest";
import { bytesEqual, FrameCopier } from "./index.ts";

test("every length, alignment and change of memory copies what set would", () => {
  const wrong: string[] = [];
  const copier = new FrameCopier();
  const memories = [0, 1, 2, 3, 4].map((offset) => {
    const bytes = new Uint8Array(new ArrayBuffer(1024), offset, 1000);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7 + offset * 31) & 255;
    return bytes;
  });
  for (let round = 0; round < 4000; round++) {
    const from = memories[round % 5]!;
    const to = new Uint8Array(1000).fill(0xa5);
    const expected = to.slice();
    const length = (round * 13) % 450;
    const [fromAt, toAt] = [(round * 5) % 500, (round * 11) % 500];
    expected.set(from.subarray(fromAt, fromAt + length), toAt);
    copier.copy(to, toAt, from, fromAt, length);
    if (!bytesEqual(to, expected)) wrong.push(`${length} bytes from ${from.byteOffset}+${fromAt} to ${toAt}`);
  }
  expect(wrong).toEqual([]);
});
