import { expect, test } from "vitest";
import { VirtualHost } from "./host.ts";

test("traced lines are kept up to a bound, the latest ones, and a saved state is taken back", () => {
  const host = new VirtualHost();
  host.trace("first");
  const state = host.save();
  for (let i = 0; i < 200_000; i++) host.trace(`${i}`);
  expect(host.lines.length).toBeLessThanOrEqual(1 << 16);
  expect(host.lines.at(-1)).toBe("199999");
  const late = host.save();
  host.trace("more");
  host.load(late);
  expect(host.lines.at(-1)).toBe("199999");
  host.load(state);
  expect(host.lines).toEqual([]);
});
