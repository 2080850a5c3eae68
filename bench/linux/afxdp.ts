/**
 * AF_XDP: frames received, run through the simulator's JIT, and sent out of another port, on veth pairs of its own, beside
 * a C program (afxdp.c) that forwards between the same two devices and writes one word of each frame, in blocks by turns.
 * The kernel makes a burst of frames first (live-frames test run into the port's peer), then the forwarding of the
 * burst is timed: one CPU's cost of receive, program, send and the kernel's transmit. As root:
 * npx tsx --conditions=source bench/linux/afxdp.ts
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { assemble } from "@ebplane/core/asm";
import { ProgType } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget, pumpPorts, XskPort } from "@ebplane/linux";
import { BPF_F_TEST_XDP_LIVE_FRAMES } from "@ebplane/linux/bpf";
import { createTopology } from "@ebplane/linux/testing";

const BURST = 1024;
const BLOCKS = 6;
const ROUNDS = 40;

function program(name: string, text: string) {
  const { code, relocs } = assemble(text);
  return {
    programs: new Map([
      [
        name,
        {
          name,
          section: "xdp",
          type: ProgType.BPF_PROG_TYPE_XDP,
          attachType: 0,
          flags: 0,
          code,
          relocs,
          funcInfo: [],
          lineInfo: [],
        },
      ],
    ]),
    maps: new Map(),
    license: "GPL",
    byteOrder: "little",
  } as const;
}

const redirect = (ifindex: number) => `
  r2 = *(u32 *)(r1 + 0)
  r3 = *(u32 *)(r1 + 4)
  r4 = r2
  r4 += 14
  if r4 > r3 goto drop
  *(u32 *)(r2 + 0) = 2
  r1 = ${ifindex}
  r2 = 0
  call 23
  exit
drop:
  r0 = 1
  exit`;

using net = createTopology();
const kernel = linuxTarget({ netns: net.client.fd });
const c0 = kernel.ifindex("c0");
using generator = kernel.load(program("generate", redirect(c0)));
// A native program at both ends lets a veth take native frames.
using _c0 = kernel.attach(kernel.load(program("pass", "r0 = 2\nexit")).programs.get("pass")!, {
  kind: "xdp",
  iface: "c0",
  mode: "native",
});
using sink = linuxTarget({ netns: net.server.fd }).load(program("drop", "r0 = 1\nexit"));
using _s0 = linuxTarget({ netns: net.server.fd }).attach(sink.programs.get("drop")!, {
  kind: "xdp",
  iface: "s0",
  mode: "native",
});
const packet = new Uint8Array(64);
packet.set([2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 2, 8, 0]);
const md = new Uint8Array(24);
new DataView(md.buffer).setUint32(4, packet.length, true); // data_end
new DataView(md.buffer).setUint32(12, c0, true); // ingress_ifindex
const live = generator.programs.get("generate")! as unknown as {
  testRun(input: { packet: Uint8Array; ctx: Uint8Array; repeat: number; flags: number; batchSize: number }): unknown;
};

const burst = (): void => {
  net.client.run(() =>
    live.testRun({ packet, ctx: md, repeat: BURST, flags: BPF_F_TEST_XDP_LIVE_FRAMES, batchSize: 64 }),
  );
};

const receive: number[] = [];
const through: number[] = [];
const inC: number[] = [];

/** A queue is free a moment after its last user has gone. */
async function openPort(iface: string): Promise<XskPort> {
  for (let attempt = 1; ; attempt++) {
    try {
      return new XskPort({ iface, netns: net.edge.fd, mode: "native" });
    } catch (error) {
      if (attempt === 50) throw error;
      await setTimeout(20);
    }
  }
}

async function ours(): Promise<void> {
  using left = await openPort("e0");
  using right = await openPort("e1");
  const sim = new SimTarget({ engine: "jit", devices: ["e0", "e1"] });
  using forward = sim.load(program("forward", redirect(sim.ifindex("e1"))));
  using _forward = sim.attach(forward.programs.get("forward")!, { kind: "xdp", iface: "e0", mode: "auto" });
  using pump = pumpPorts(
    [
      { port: left, device: sim.device("e0") },
      { port: right, device: sim.device("e1") },
    ],
    { watch: false, batch: 256 },
  );
  for (let round = 0; round < 2 * ROUNDS; round++) {
    burst();
    const start = process.hrtime.bigint();
    let count = 0;
    if (round % 2) for (let n = -1; n !== 0; count += n) n = pump.turn();
    else for (let n = -1; n !== 0; count += n) n = left.receive(() => {}, 256);
    const ns = Number(process.hrtime.bigint() - start);
    if (count > BURST / 2) (round % 2 ? through : receive).push(ns / count);
  }
}

async function theirs(binary: string): Promise<void> {
  const child = net.edge.spawn(binary, ["e0", "e1"], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const line = async (): Promise<string> => String((await lines.next()).value);
  if ((await line()) !== "ready") throw new Error("afxdp.c did not start");
  for (let round = 0; round < ROUNDS; round++) {
    burst();
    child.stdin!.write("go\n");
    const [count, ns] = (await line()).split(" ").map(Number);
    if (count! > BURST / 2) inC.push(ns! / count!);
  }
  const ended = new Promise((resolve) => child.on("close", resolve));
  child.stdin!.end();
  await ended;
}

const directory = mkdtempSync(join(tmpdir(), "ebplane-bench-"));
try {
  const binary = join(directory, "afxdp");
  execFileSync("gcc", ["-O2", "-o", binary, join(import.meta.dirname, "afxdp.c"), "-lbpf"]);
  for (let block = 0; block < BLOCKS; block++) {
    await ours();
    await theirs(binary);
  }
} finally {
  rmSync(directory, { recursive: true });
}
const report = (what: string, times: number[]): number => {
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1]!;
  console.log(
    `${what}: ${times[0]!.toFixed(0)} ns a frame at best, ${median.toFixed(0)} median: ${(1e3 / median).toFixed(2)} Mpps (${times.length} bursts)`,
  );
  return median;
};
report("receive", receive);
const here = report("receive, JIT, send", through);
const there = report("C: receive, write, send", inC);
console.log(`${(there / here).toFixed(2)} of C's speed`);
