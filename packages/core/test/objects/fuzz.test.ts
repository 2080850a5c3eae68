import { expect, test } from "vitest";
import { fuzz } from "./fuzz.ts";
import { missingTool } from "./tools.ts";

test.skipIf(missingTool("clang"))("3000 damaged objects give a result or an error that names the place", () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  const { failures, accepted, refused } = fuzz(3000, seed);
  expect(failures).toEqual([]);
  expect(accepted).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(100);
});
