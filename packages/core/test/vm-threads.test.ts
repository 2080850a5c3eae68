/** A machine on real threads: nothing that its CPUs do to shared maps is lost, whichever engine runs the programs. */
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { assemble } from "../src/asm/index.ts";
import type { RingbufMap, VmMap } from "../src/maps/index.ts";
import { type MapSpec, MapType, ProgType } from "../src/object/index.ts";
import {
  Cpus,
  createRss,
  describeMachine,
  type EngineName,
  Machine,
  type ProgramLoad,
  rawProgram,
  sharedMemory,
  type VmProgram,
  XdpQueues,
} from "../src/vm/index.ts";
import { portOf, spawnThread } from "./vm-threads.spawn.ts";

const CPUS = 3;
const FLOWS = 64;
const PACKETS = 1500;
/** Long enough that the CPUs run at the same time: without the lock the test fails. */
const REPEAT = 500;
const XDP_PASS = 2;
const PAYLOAD = 42;

const threads = Array.from({ length: CPUS }, spawnThread);
afterAll(async () => {
  await Promise.all(threads.map((thread) => thread.terminate()));
});
const open: Cpus[] = [];
afterEach(async () => {
  for (const cpus of open.splice(0)) await cpus.close();
});

async function start(machine: Machine): Promise<Cpus> {
  const cpus = await Cpus.start(machine, threads.map(portOf));
  open.push(cpus);
  return cpus;
}

function sharedMachine(): Machine {
  return new Machine({ memory: sharedMemory(64 << 20), cpus: CPUS });
}

function makeMaps(machine: Machine, specs: Record<string, Partial<MapSpec>>): Map<string, VmMap> {
  const base = { type: MapType.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 };
  return new Map(Object.entries(specs).map(([name, spec]) => [name, machine.createMap({ ...base, name, ...spec })]));
}

function load(machine: Machine, text: string, maps: ReadonlyMap<string, VmMap>, options: ProgramLoad = {}): VmProgram {
  const { code, relocs } = assemble(text);
  const spec = { ...rawProgram(code, ProgType.BPF_PROG_TYPE_XDP), relocs };
  return machine.load(spec, { engine: "jit", ...options, maps });
}

/** A UDP packet of a flow; its payload is one word. */
function packet(flow: number, word: number): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes.set([0x08, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, flow >> 8, flow & 255, 192, 0, 2, 1], 12);
  bytes.set([0x10 + (flow >> 8), flow & 255, 0, 53], 34);
  new DataView(bytes.buffer).setUint32(PAYLOAD, word, true);
  return bytes;
}

const u32 = (n: number) => new Uint8Array(new Uint32Array([n]).buffer);
const words = (bytes: Uint8Array | undefined) => [...new BigUint64Array(bytes!.slice().buffer)].map(Number);
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

/**
 * Counts a packet in every way that CPUs can meet: atomic adds of both sizes, a per-CPU value, a hash element that the
 * first CPU to come creates, a cmpxchg loop, two words under a spin lock; and takes a ticket, which goes into the packet.
 */
const STRESS = `
    r6 = *(u32 *)(r1 + 0)
    r7 = *(u32 *)(r1 + 16)
    r1 = map[total][0] ll
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    lock *(u32 *)(r1 + 8) += w2
    r2 = 1
    r2 = atomic_fetch_add((u64 *)(r1 + 16), r2)
    *(u64 *)(r6 + ${PAYLOAD + 4}) = r2
    r8 = r1
  again:
    r0 = *(u64 *)(r8 + 24)
    r3 = r0
    r4 = r0
    r4 += 3
    r0 = cmpxchg_64(r8 + 24, r0, r4)
    if r0 != r3 goto again
    call 8
    if r0 == r7 goto mine
    r2 = 1
    lock *(u64 *)(r8 + 32) += r2
  mine:
    r2 = 0
    *(u32 *)(r10 - 4) = r2
    r1 = map[percpu] ll
    r2 = r10
    r2 += -4
    call 1
    if r0 == 0 goto fail
    r1 = *(u64 *)(r0 + 0)
    r1 += 1
    *(u64 *)(r0 + 0) = r1
    r9 = *(u32 *)(r6 + ${PAYLOAD})
    *(u32 *)(r10 - 4) = r9
    r9 = 4
  find:
    r1 = map[flows] ll
    r2 = r10
    r2 += -4
    call 1
    if r0 != 0 goto found
    r1 = 1
    *(u64 *)(r10 - 16) = r1
    r1 = map[flows] ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 1
    call 2
    if r0 == 0 goto locked
    r9 += -1
    if r9 != 0 goto find
    goto fail
  found:
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
  locked:
    r1 = map[guarded][0] ll
    r9 = r1
    call 93
    r1 = *(u64 *)(r9 + 8)
    r1 += 1
    *(u64 *)(r9 + 8) = r1
    r2 = *(u64 *)(r9 + 16)
    r2 += r1
    *(u64 *)(r9 + 16) = r2
    r1 = r9
    call 94
    r0 = ${XDP_PASS}
    exit
  fail:
    r0 = 0
    exit`;

describe.each<{ engine: EngineName; repeat: number }>([
  { engine: "jit", repeat: REPEAT },
  { engine: "interp", repeat: 40 },
])("$engine", ({ engine, repeat }) => {
  test(`${CPUS} CPUs on packets split by RSS lose no update`, async () => {
    const machine = sharedMachine();
    const maps = makeMaps(machine, {
      total: { valueSize: 40 },
      guarded: { valueSize: 24 },
      percpu: { type: MapType.BPF_MAP_TYPE_PERCPU_ARRAY },
      flows: { type: MapType.BPF_MAP_TYPE_HASH, maxEntries: 128 },
    });
    const program = load(machine, STRESS, maps, { engine });
    const cpus = await start(machine);
    const rss = createRss({ cpus: CPUS });
    const queues = new XdpQueues(cpus, rss, PACKETS);
    const sentTo = new Array<number>(CPUS).fill(0);
    const places = Array.from({ length: PACKETS }, (_, i) => {
      // The counted key runs across flows: CPUs meet in every element.
      const place = queues.write(packet((i * 7) % FLOWS, i % 16))!;
      sentTo[place.cpu]!++;
      return place;
    });
    expect(Math.min(...sentTo)).toBeGreaterThan(PACKETS / 10);
    await queues.run(program, repeat);

    const runs = PACKETS * repeat;
    const verdicts = places.map(({ cpu, index }) => queues.rings[cpu]!.verdict(index));
    expect(verdicts).toEqual(new Array(PACKETS).fill(XDP_PASS));
    expect(words(maps.get("total")!.lookup(u32(0)))).toEqual([runs, runs, runs, 3 * runs, 0]);
    expect(words(maps.get("percpu")!.lookup(u32(0)))).toEqual(sentTo.map((n) => n * repeat));
    const flows = Array.from({ length: 16 }, (_, key) => words(maps.get("flows")!.lookup(u32(key)))[0]!);
    const expected = flows.map((_, key) => repeat * Math.ceil((PACKETS - key) / 16));
    expect(flows).toEqual(expected);
    expect(words(maps.get("guarded")!.lookup(u32(0)))).toEqual([0, runs, (runs * (runs + 1)) / 2]);
    const tickets = places.map(({ cpu, index }) => {
      const bytes = queues.rings[cpu]!.packet(index);
      return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(PAYLOAD + 4, true));
    });
    expect(new Set(tickets).size).toBe(PACKETS);
    queues.close();
  });
});

test("CPUs that do nothing but add to one word lose none", async () => {
  const machine = sharedMachine();
  const maps = makeMaps(machine, { total: {} });
  const add = "r2 = 1\n lock *(u64 *)(r1 + 0) += r2\n".repeat(20);
  const program = load(machine, `r1 = map[total][0] ll\n ${add} r0 = 2\n exit`, maps);
  const cpus = await start(machine);
  const queues = new XdpQueues(cpus, createRss({ cpus: CPUS }), PACKETS);
  for (let i = 0; i < PACKETS; i++) queues.write(packet(i, 0));
  await queues.run(program, 1500);
  expect(words(maps.get("total")!.lookup(u32(0)))).toEqual([PACKETS * 1500 * 20]);
});

test("a program that is loaded later is reached by tail call on every CPU, and can be replaced", async () => {
  const machine = sharedMachine();
  const maps = makeMaps(machine, { next: { type: MapType.BPF_MAP_TYPE_PROG_ARRAY, valueSize: 4 } });
  const entry = load(machine, "r2 = map[next] ll\n r3 = 0\n call 12\n r0 = 1\n exit", maps);
  const cpus = await start(machine);
  const queues = new XdpQueues(cpus, createRss({ cpus: CPUS }), 256);
  for (let i = 0; i < 96; i++) queues.write(packet(i, 0));
  const verdicts = async () => {
    await queues.run(entry);
    const all = queues.rings.flatMap((ring, cpu) =>
      Array.from({ length: queues.filled(cpu) }, (_, i) => ring.verdict(i)),
    );
    expect(all.length).toBe(96);
    return [...new Set(all)];
  };
  expect(await verdicts()).toEqual([1]);
  for (const answer of [7, 9]) {
    const target = load(machine, `r0 = ${answer}\n exit`, maps);
    await cpus.load(target);
    maps.get("next")!.update(u32(0), u32(target.id));
    expect(await verdicts()).toEqual([answer]);
    maps.get("next")!.delete(u32(0));
    await cpus.unload(target);
  }
  expect(await verdicts()).toEqual([1]);
});

test("records of all CPUs reach the owner's ring buffer, and it is woken", async () => {
  const machine = sharedMachine();
  const maps = makeMaps(machine, {
    events: { type: MapType.BPF_MAP_TYPE_RINGBUF, keySize: 0, valueSize: 0, maxEntries: 1 << 18 },
  });
  const text = `
    r6 = *(u32 *)(r1 + 0)
    call 8
    *(u32 *)(r10 - 8) = r0
    r1 = *(u32 *)(r6 + ${PAYLOAD})
    *(u32 *)(r10 - 4) = r1
    r1 = map[events] ll
    r2 = r10
    r2 += -8
    r3 = 8
    r4 = 0
    call 130
    exit`;
  const program = load(machine, text, maps);
  const ring = maps.get("events") as RingbufMap;
  const seen = new Map<number, number>();
  const cpus = await start(machine);
  const queues = new XdpQueues(cpus, createRss({ cpus: CPUS }), 1000);
  const placed = Array.from({ length: 900 }, (_, i) => queues.write(packet(i % 50, i))!.cpu);
  let woken = 0;
  ring.onWakeup = () => woken++;
  await queues.run(program);
  ring.consume((record) => {
    const view = new DataView(record.buffer, record.byteOffset);
    seen.set(view.getUint32(4, true), view.getUint32(0, true));
  });
  expect(woken).toBeGreaterThan(0);
  expect(placed.map((_, i) => seen.get(i))).toEqual(placed);
});

test("a fault on one CPU is reported with its number, and the others finish", async () => {
  const machine = sharedMachine();
  const maps = makeMaps(machine, { total: {} });
  const text = `
    r7 = *(u32 *)(r1 + 16)
    r1 = map[total][0] ll
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    if r7 != 1 goto out
    r1 = 0xfffffff0 ll
    r0 = *(u64 *)(r1 + 0)
  out:
    r0 = 2
    exit`;
  const program = load(machine, text, maps);
  const cpus = await start(machine);
  const queues = new XdpQueues(cpus, createRss({ cpus: CPUS }), 400);
  for (let i = 0; i < 300; i++) queues.write(packet(i, 0));
  const filled = [0, 1, 2].map((cpu) => queues.filled(cpu));
  await expect(queues.run(program)).rejects.toThrow(/^cpu 1: .*leaves the memory/);
  expect(words(maps.get("total")!.lookup(u32(0)))).toEqual([sum(filled) - filled[1]! + 1]);
  queues.clear();
  await queues.run(program);
});

test("closing gives back all that the CPUs took of the memory", async () => {
  const machine = sharedMachine();
  const maps = makeMaps(machine, { total: {} });
  load(machine, "r0 = 2\n exit", maps);
  const place = () => {
    const at = machine.memory.alloc(1 << 16);
    machine.memory.free(at);
    return at;
  };
  const before = place();
  const cpus = await Cpus.start(machine, threads.map(portOf));
  expect(place()).not.toBe(before);
  await cpus.close();
  expect(place()).toBe(before);
  await expect(cpus.load(load(machine, "r0 = 2\n exit", maps))).rejects.toThrow("used after close");
});

test("a thread that dies fails the batches that wait for it, and later ones", async () => {
  const machine = new Machine({ memory: sharedMemory(4 << 20) });
  const program = load(machine, "here:\n goto here", new Map());
  const thread = spawnThread();
  const cpus = await Cpus.start(machine, [portOf(thread)]);
  const batch = { ctx: machine.memory.alloc(64), stride: 0, count: 1, verdicts: machine.memory.alloc(4) };
  const endless = cpus.run(0, program, batch);
  const ended = expect(endless).rejects.toThrow("cpu 0: its thread has ended");
  await thread.terminate();
  await ended;
  await expect(cpus.run(0, program, batch)).rejects.toThrow("its thread has ended");
  await expect(cpus.run(1, program, batch)).rejects.toThrow("expected 0 to 0, got 1");
});

test("what cannot run on several CPUs is refused by name", async () => {
  expect(() => describeMachine(new Machine())).toThrow("expected a shared memory");
  const growing = new Machine({ memory: { shared: true, maximum: 32 << 20 }, cpus: 2 });
  expect(() => describeMachine(growing)).toThrow("expected all 33554432 bytes at once, have 1048576");
  const machine = sharedMachine();
  await expect(Cpus.start(machine, [])).rejects.toThrow("expected 3 ports, got 0");
  const maps = makeMaps(machine, { timers: { valueSize: 16 } });
  load(machine, "r1 = map[timers][0] ll\n r2 = map[timers] ll\n r3 = 1\n call 169\n exit", maps);
  expect(() => describeMachine(machine)).toThrow("helper bpf_timer_init works on one CPU only");
});
