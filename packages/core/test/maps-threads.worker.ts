/** One CPU of the stress test beside: joins the machine's memory and works on maps that it is given by address. */
import { parentPort, workerData } from "node:worker_threads";
import { createRuntime, layout } from "../src/maps/index.ts";
import { Memory } from "../src/mem/index.ts";

interface Job {
  readonly memory: WebAssembly.Memory;
  readonly cpu: number;
  readonly cpus: number;
  readonly maps: Readonly<Record<"hash" | "noPrealloc" | "lru" | "percpu" | "queue" | "ring" | "lpm", number>>;
  readonly rounds: number;
}

const job = workerData as Job;
const memory = new Memory({ shared: true, maximum: 256 << 20 }, job.memory);
const rt = createRuntime(memory, { cpus: job.cpus });
rt.cpu.value = job.cpu;
const { exports: x } = rt;
const key = memory.alloc(64);
const value = memory.alloc(64);
let wrong = 0;
let pushed = 0;
let sent = 0;

const put = (k: number, v: number) => {
  memory.refresh();
  memory.u32[key >>> 2] = k;
  memory.u32[value >>> 2] = v;
  memory.u32[(value >>> 2) + 1] = ~v;
};

for (let round = 0; round < job.rounds; round++) {
  // Keys of this CPU alone: they must be there until it deletes them, whatever the others do to the same buckets.
  const own = (round % 64) * job.cpus + job.cpu;
  for (const map of [job.maps.hash, job.maps.noPrealloc]) {
    put(own, round);
    if (x.map_update(map, key, value, 0n)) wrong++;
    const at = x.map_lookup(map, key) >>> 0;
    memory.refresh();
    if (!at || memory.u32[at >>> 2] !== round) wrong++;
    if (round % 3 === 0 && x.map_delete(map, key)) wrong++;
    if (round % 3 === 0 && x.map_lookup(map, key)) wrong++;
  }
  // One key that all CPUs replace: its two words always belong together.
  put(0xffff, round * job.cpus + job.cpu);
  x.map_update(job.maps.lru, key, value, 0n);
  put(round & 1023, round);
  x.map_update(job.maps.lru, key, value, 0n);
  // A counter a CPU, and one that all add to.
  memory.u32[key >>> 2] = 7;
  const mine = x.map_lookup(job.maps.percpu, key) >>> 0;
  memory.u32[mine >>> 2]! += 1;
  memory.u32[key >>> 2] = 0xfffe;
  const shared = x.map_lookup(job.maps.hash, key) >>> 0;
  Atomics.add(memory.u32, shared >>> 2, 1);
  memory.u32[value >>> 2] = round;
  if (x.map_push(job.maps.queue, value, 0n) === 0) pushed++;
  if (round % 2 && x.map_pop(job.maps.queue, value) === 0) pushed--;
  if (x.ringbuf_output(job.maps.ring, value, 8n, 1n) === 0) sent++;
  memory.u32[key >>> 2] = 32;
  memory.u32[(key >>> 2) + 1] = own;
  if (x.map_update(job.maps.lpm, key, value, 0n)) wrong++;
  if (!x.map_lookup(job.maps.lpm, key)) wrong++;
  if (round % 2 && x.map_delete(job.maps.lpm, key)) wrong++;
}
parentPort!.postMessage({ wrong, pushed, sent, type: memory.view.getUint32(job.maps.hash + layout.MAP_TYPE, true) });
