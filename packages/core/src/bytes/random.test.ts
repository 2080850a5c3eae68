import { expect, test } from "vitest";
import { seededRandom } from "./index.ts";

test("the same seed gives the same draws, another seed others", () => {
  const draw = (seed: number) => {
    const random = seededRandom(seed);
    return [random.u32(), random.below(10), random.pick(["a", "b", "c"]), ...random.bytes(4)];
  };
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
});

test("draws are even enough", () => {
  const random = seededRandom(7);
  const counts = new Array<number>(16).fill(0);
  for (let i = 0; i < 16_000; i++) counts[random.below(16)]!++;
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  let hits = 0;
  for (let i = 0; i < 10_000; i++) if (random.chance(0.25)) hits++;
  expect(Math.abs(hits - 2500)).toBeLessThan(200);
});
