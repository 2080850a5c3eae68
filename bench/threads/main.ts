/**
 * A machine on threads: packet rate of one and of more CPUs, and what a shared memory costs a machine with one CPU.
 * Run: `npx tsx --conditions=source bench/threads/main.ts [CPUS]` (default 2). The program counts a packet per flow
 * (hash), per CPU and in total (atomic add). Rates are the best of several rounds; the load average is printed, for a
 * rate of several CPUs means nothing on a busy machine.
 */
import { cpus as hostCpus, loadavg } from "node:os";
import { Worker } from "node:worker_threads";
import { assemble } from "@ebplane/core/asm";
import { MapType, ProgType } from "@ebplane/core/object";
import {
  type CpuPort,
  Cpus,
  createRss,
  Machine,
  rawProgram,
  sharedMemory,
  type VmMap,
  XDP,
  XdpQueues,
  XdpRing,
} from "@ebplane/core/vm";

const PACKETS = 2048;
const ROUNDS = 7;
const REPEAT = 400;
const CPUS = Number(process.argv[2] ?? 2);

const COUNT = `
  r6 = *(u32 *)(r1 + 0)
  r1 = map[total][0] ll
  r2 = 1
  lock *(u64 *)(r1 + 0) += r2`;
const PROGRAM = (atomic: boolean) => `
  ${atomic ? COUNT : "r6 = *(u32 *)(r1 + 0)"}
  r2 = 0
  *(u32 *)(r10 - 4) = r2
  r1 = map[percpu] ll
  r2 = r10
  r2 += -4
  call 1
  if r0 == 0 goto out
  r1 = *(u64 *)(r0 + 0)
  r1 += 1
  *(u64 *)(r0 + 0) = r1
  r1 = *(u32 *)(r6 + 26)
  *(u32 *)(r10 - 4) = r1
  r1 = map[flows] ll
  r2 = r10
  r2 += -4
  call 1
  if r0 == 0 goto out
  r1 = *(u64 *)(r0 + 0)
  r1 += 1
  *(u64 *)(r0 + 0) = r1
out:
  r0 = 2
  exit`;

const packets = Array.from({ length: PACKETS }, (_, i) => {
  const flow = i % 512;
  const bytes = new Uint8Array(64);
  bytes.set([0x08, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, flow >> 8, flow & 255, 192, 0, 2, 1], 12);
  bytes.set([0x10 + (flow >> 8), flow & 255, 0, 53], 34);
  return bytes;
});

function machineOf(shared: boolean, cpus: number, atomic: boolean) {
  const machine = new Machine({ ...(shared && { memory: sharedMemory(64 << 20) }), cpus });
  const base = { keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 };
  const maps = new Map<string, VmMap>(
    [
      { ...base, name: "total", type: MapType.BPF_MAP_TYPE_ARRAY },
      { ...base, name: "percpu", type: MapType.BPF_MAP_TYPE_PERCPU_ARRAY },
      { ...base, name: "flows", type: MapType.BPF_MAP_TYPE_HASH, maxEntries: 1024 },
    ].map((spec) => [spec.name, machine.createMap(spec)]),
  );
  for (const packet of packets) maps.get("flows")!.update(packet.slice(26, 30), new Uint8Array(8));
  const { code, relocs } = assemble(PROGRAM(atomic));
  const spec = { ...rawProgram(code, ProgType.BPF_PROG_TYPE_XDP), relocs };
  return { machine, program: machine.load(spec, { engine: "jit", maps }) };
}

function alone(shared: boolean, atomic: boolean): () => number {
  const { machine, program } = machineOf(shared, 1, atomic);
  const ring = new XdpRing(machine.memory, PACKETS);
  packets.forEach((packet, i) => void ring.write(i, packet));
  return () => {
    const start = performance.now();
    for (let i = 0; i < REPEAT; i++) program.runner.batch(ring.ctx, XDP.STRIDE, PACKETS, ring.verdicts);
    return ((performance.now() - start) * 1e6) / (REPEAT * PACKETS);
  };
}

function spawn(): CpuPort {
  const boot = `import("tsx/esm/api").then(({ register }) => {
    register();
    return import(${JSON.stringify(new URL("./worker.ts", import.meta.url).href)});
  });`;
  const worker = new Worker(boot, { eval: true });
  return {
    post: (message) => worker.postMessage(message),
    listen: (received, lost) => void worker.on("message", received).on("error", lost),
    close: () => void worker.terminate(),
  };
}

/** Million packets a second on so many CPUs, the flows split by RSS. */
async function rate(count: number, atomic: boolean): Promise<number> {
  const { machine, program } = machineOf(true, count, atomic);
  const cpus = await Cpus.start(machine, Array.from({ length: count }, spawn));
  const queues = new XdpQueues(cpus, createRss({ cpus: count }), PACKETS);
  for (const packet of packets) queues.write(packet);
  await queues.run(program, REPEAT);
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    await queues.run(program, REPEAT);
    best = Math.max(best, (REPEAT * PACKETS) / (performance.now() - start) / 1e3);
  }
  await cpus.close();
  return best;
}

console.log(`${hostCpus().length} host CPUs, load ${loadavg()[0]!.toFixed(1)}, ${PACKETS} packets, 512 flows`);
for (const atomic of [false, true]) {
  const runs = [alone(false, atomic), alone(true, atomic)];
  const least = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, run] of runs.entries()) least[i] = Math.min(least[i]!, run());
  }
  const [plain, shared] = least as [number, number];
  console.log(`${atomic ? "with" : "without"} one atomic add to a word that all CPUs share:`);
  console.log(
    `  one CPU, no threads: unshared ${plain.toFixed(2)} ns a packet, shared ${shared.toFixed(2)} ns (${(shared / plain).toFixed(2)}x)`,
  );
  const one = await rate(1, atomic);
  const many = await rate(CPUS, atomic);
  console.log(
    `  1 worker ${one.toFixed(1)} Mpps, ${CPUS} workers ${many.toFixed(1)} Mpps (${(many / one).toFixed(2)}x)`,
  );
}
