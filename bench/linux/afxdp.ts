/**
 * AF_XDP: frames received, run through the simulator's JIT, and sent out of another port, on veth pairs of its own.
 * The kernel makes a burst of frames first (live-frames test run into the port's peer), then the forwarding of the
 * burst is timed: one CPU's cost of receive, JIT, send and the kernel's transmit. As root:
 * npx tsx --conditions=source bench/linux/afxdp.ts
 */
import { assemble } from "@ebplane/core/asm";
import { ProgType } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget, pumpPorts, XskPort } from "@ebplane/linux";
import { BPF_F_TEST_XDP_LIVE_FRAMES } from "@ebplane/linux/bpf";
import { createTopology } from "@ebplane/linux/testing";

const BURST = 1024;
const ROUNDS = 200;

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
using left = new XskPort({ iface: "e0", netns: net.edge.fd, mode: "native" });
using right = new XskPort({ iface: "e1", netns: net.edge.fd, mode: "native" });

const sim = new SimTarget({ engine: "jit", devices: ["e0", "e1"] });
using forward = sim.load(program("forward", redirect(2)));
using _forward = sim.attach(forward.programs.get("forward")!, { kind: "xdp", iface: "e0", mode: "auto" });
using pump = pumpPorts(
  [
    { port: left, device: sim.device("e0") },
    { port: right, device: sim.device("e1") },
  ],
  { watch: false, batch: 256 },
);

const packet = new Uint8Array(64);
packet.set([2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 2, 8, 0]);
const md = new Uint8Array(24);
new DataView(md.buffer).setUint32(4, packet.length, true); // data_end
new DataView(md.buffer).setUint32(12, c0, true); // ingress_ifindex
const live = generator.programs.get("generate")! as unknown as {
  testRun(input: { packet: Uint8Array; ctx: Uint8Array; repeat: number; flags: number; batchSize: number }): unknown;
};

const receive: number[] = [];
const through: number[] = [];
for (let round = 0; round < 2 * ROUNDS; round++) {
  net.client.run(() =>
    live.testRun({ packet, ctx: md, repeat: BURST, flags: BPF_F_TEST_XDP_LIVE_FRAMES, batchSize: 64 }),
  );
  const start = process.hrtime.bigint();
  let count = 0;
  if (round % 2) for (let n = -1; n !== 0; count += n) n = pump.turn();
  else for (let n = -1; n !== 0; count += n) n = left.receive(() => {}, 256);
  const ns = Number(process.hrtime.bigint() - start);
  if (count > BURST / 2) (round % 2 ? through : receive).push(ns / count);
}
const report = (what: string, times: number[]): void => {
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1]!;
  console.log(
    `${what}: ${times[0]!.toFixed(0)} ns a frame at best, ${median.toFixed(0)} median: ${(1e3 / median).toFixed(2)} Mpps (${times.length} bursts)`,
  );
};
report("receive", receive);
report("receive, JIT, send", through);
console.log(left.stats(), right.stats());
