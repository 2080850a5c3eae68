/**
 * The same engine in a browser: the engine's own cases, a plane from its file to its verdicts, and one bench, in a
 * headless Chromium and in Node, over the built packages (`npm run build` first; `npm test` does).
 *
 * Skipped where there is no Chromium; with CI=true that is a failure. EBPLANE_CHROMIUM names another executable.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PLANE } from "../quick-plane.ts";
import type { CaseFile, CaseOutcome, PlaneInput, PlaneOutcome } from "./program.ts";
import { browserSide, nodeSide, type Side } from "./sides.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const CASES = join(ROOT, "packages/core/src/vm/testdata");
const EDGE = join(ROOT, "examples/edge");

const executable = process.env.EBPLANE_CHROMIUM ?? "/usr/bin/chromium";
const present = existsSync(executable);
const required = process.env.CI === "true";
const why = `no Chromium at ${executable}: sudo scripts/install-test-tools.sh installs one`;

let browser: Side | undefined;
let node: Side | undefined;

beforeAll(async () => {
  if (!present && !required) return;
  if (!present) throw new Error(`CI=true, but ${why}`);
  const built = join(ROOT, "packages/functions/dist/index.js");
  if (!existsSync(built)) throw new Error(`${built} is missing: npm run build`);
  [browser, node] = await Promise.all([browserSide(executable), nodeSide()]);
});

afterAll(async () => {
  await Promise.all([browser?.close(), node?.close()]);
});

function edge(): PlaneInput {
  return {
    yaml: readFileSync(join(EDGE, "plane.yaml"), "utf8"),
    iface: "wan",
    capture: readFileSync(join(EDGE, "wan.pcap")).toString("hex"),
  };
}

test("every case of the engines has its result in the browser, on interp and jit, as in Node", async (ctx) => {
  ctx.skip(!present, why);
  const files: CaseFile[] = readdirSync(CASES)
    .filter((f) => f.endsWith(".case"))
    .map((file) => ({ file, text: readFileSync(join(CASES, file), "utf8") }));
  const outcomes = await browser!.call<CaseOutcome[]>("runCases", files);
  expect(outcomes.filter((o) => o.failure !== undefined)).toEqual([]);
  const names = files.flatMap(({ text }) => text.match(/^-- name /gm) ?? []);
  expect(outcomes.length, "two engines a case").toBe(2 * names.length);
  expect(outcomes).toEqual(await node!.call<CaseOutcome[]>("runCases", files));
});

test("a plane compiles, verifies and judges a capture in the browser as in Node", async (ctx) => {
  ctx.skip(!present, why);
  const inBrowser = await browser!.call<PlaneOutcome>("runPlane", edge());
  const inNode = await node!.call<PlaneOutcome>("runPlane", edge());
  expect(inBrowser.object, "the compiled object").toBe(inNode.object);
  expect(inBrowser).toEqual(inNode);
  expect(inBrowser.verified.length).toBeGreaterThan(0);
  for (const line of inBrowser.verified) expect(line).toContain(": accept, ");
  expect(inBrowser.fates.jit).toEqual(inBrowser.fates.interp);
  expect(inBrowser.reports.jit).toBe(inBrowser.reports.interp);
  const { fates, packets } = inBrowser;
  expect(Object.values(fates.jit).reduce((a, b) => a + b)).toBe(packets);
  expect(Object.keys(fates.jit).sort(), "the capture takes every way").toEqual(["dropped", "redirected", "stack"]);
});

test("the JIT runs a plane's program in the browser: nanoseconds a packet beside Node's", async (ctx) => {
  ctx.skip(!present, why);
  const sides = { browser: browser!, node: node! };
  const ns: Record<string, number[]> = { browser: [], node: [] };
  for (const side of Object.values(sides)) {
    await side.call("startBench", edge());
    for (let warm = 0; warm < 3; warm++) await side.call("benchRound");
  }
  // In turns, so that a drift of the machine hits both.
  for (let round = 0; round < 15; round++) {
    for (const [name, side] of Object.entries(sides)) ns[name]!.push(await side.call<number>("benchRound"));
  }
  for (const [name, rounds] of Object.entries(ns)) {
    const [min, median] = [Math.min(...rounds), rounds.sort((a, b) => a - b)[rounds.length >> 1]!];
    expect(min).toBeGreaterThan(0);
    console.log(`edge plane, wan, jit in ${name}: ${min.toFixed(1)} ns a packet (median ${median.toFixed(1)})`);
  }
});

test("a worker compiles a program of 400 lines in 100 ms, warm", async (ctx) => {
  ctx.skip(!present, why);
  const worker = browser!.callInWorker!;
  expect(await worker<number>("startCompile", PLANE)).toBeGreaterThan(300);
  let best = Number.POSITIVE_INFINITY;
  // A busy machine needs more rounds for one that was left alone.
  for (let round = 0; round < 60 && (round < 12 || best > 80); round++) {
    best = Math.min(best, await worker<number>("compileRound"));
  }
  console.log(`400 lines in a worker: ${best.toFixed(1)} ms`);
  expect(best).toBeLessThanOrEqual(100);
});
