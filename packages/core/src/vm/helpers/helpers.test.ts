/** Helpers that need more than one program run: callbacks over maps, timers, event output, tail calls, lookups. */
import { describe, expect, test } from "vitest";
import { assemble } from "../../asm/index.ts";
import type { PerfEventArrayMap, UserRingbufMap, VmMap } from "../../maps/index.ts";
import { type MapSpec, MapType, ProgType } from "../../object/index.ts";
import { ENGINES, type EngineName } from "../engines.ts";
import type { Host } from "../env.ts";
import { rawProgram } from "../exec.ts";
import { VirtualHost } from "../host.ts";
import { Machine, SkbBuffer, type VmProgram, XdpRing } from "../index.ts";
import { CPU, REDIRECT, SKB } from "../layout.ts";

const XDP = ProgType.BPF_PROG_TYPE_XDP;
const TC = ProgType.BPF_PROG_TYPE_SCHED_CLS;

function u32(n: number): Uint8Array {
  return Uint8Array.of(n, n >> 8, n >> 16, n >> 24);
}

function spec(name: string, type: number, keySize: number, valueSize: number, maxEntries: number): MapSpec {
  return { name, type, keySize, valueSize, maxEntries, flags: 0 };
}

describe.each(Object.keys(ENGINES) as EngineName[])("on %s", (engine) => {
  interface World {
    readonly machine: Machine;
    readonly host: VirtualHost;
    readonly maps: Map<string, VmMap>;
    load(text: string, type?: number): VmProgram;
  }

  function world(specs: readonly MapSpec[], extra: Partial<Host> = {}, cpus = 1): World {
    const host = Object.assign(new VirtualHost(), extra);
    const machine = new Machine({ host, cpus });
    const maps = new Map(specs.map((s) => [s.name, machine.createMap(s)]));
    const load = (text: string, type = XDP): VmProgram => {
      const { code, relocs } = assemble(text);
      return machine.load({ ...rawProgram(code, type), relocs }, { engine, maps, license: "GPL" });
    };
    return { machine, host, maps, load };
  }

  const SUM = `
    *(u64 *)(r10 - 8) = 0
    r1 = map[m]
    r2 = subprog[cb]
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_for_each_map_elem
    r0 <<= 32
    r1 = *(u64 *)(r10 - 8)
    r0 |= r1
    exit
    cb:
    r5 = *(u32 *)(r2 + 0)
    r0 = *(u32 *)(r3 + 0)
    r0 *= r5
    r5 = *(u64 *)(r4 + 0)
    r5 += r0
    *(u64 *)(r4 + 0) = r5
    r0 = 0
    exit`;

  test.each([
    ["array", MapType.BPF_MAP_TYPE_ARRAY],
    ["hash", MapType.BPF_MAP_TYPE_HASH],
    ["lru_hash", MapType.BPF_MAP_TYPE_LRU_HASH],
  ])("for_each_map_elem meets every element of a %s once", (_, type) => {
    // An LRU makes room before it is full.
    const room = type === MapType.BPF_MAP_TYPE_LRU_HASH ? 500 : 5;
    const { machine, maps, load } = world([spec("m", type, 4, 8, room)]);
    for (let i = 0; i < 5; i++) maps.get("m")!.update(u32(i), new Uint8Array([10 + i, 0, 0, 0, 0, 0, 0, 0]));
    // Calls made in the high half, the sum of key times value in the low one.
    const sum = 1 * 11 + 2 * 12 + 3 * 13 + 4 * 14;
    expect(machine.r0(load(SUM).run(0))).toBe((5n << 32n) | BigInt(sum));
  });

  test("a callback may delete the element that it is given", () => {
    const { machine, maps, load } = world([spec("m", MapType.BPF_MAP_TYPE_HASH, 4, 8, 64)]);
    for (let i = 0; i < 50; i++) maps.get("m")!.update(u32(i), new Uint8Array(8));
    const program = load(`
      r1 = map[m]
      r2 = subprog[cb]
      r3 = 0
      r4 = 0
      call bpf_for_each_map_elem
      exit
      cb:
      call bpf_map_delete_elem
      r0 = 0
      exit`);
    expect(machine.r0(program.run(0))).toBe(50n);
    expect([...maps.get("m")!.entries()]).toEqual([]);
  });

  test("timers fire by the machine's clock, can arm themselves again, and end with their value", () => {
    const { machine, host, maps, load } = world([
      spec("m", MapType.BPF_MAP_TYPE_HASH, 4, 32, 4),
      spec("c", MapType.BPF_MAP_TYPE_ARRAY, 4, 8, 1),
    ]);
    maps.get("m")!.update(u32(7), new Uint8Array(32));
    const program = load(`
      *(u32 *)(r10 - 4) = 7
      r1 = map[m]
      r2 = r10
      r2 += -4
      call bpf_map_lookup_elem
      if r0 == 0 goto out
      r6 = r0
      r1 = r6
      r2 = map[m]
      r3 = 1
      call bpf_timer_init
      r7 = r0
      r1 = r6
      r2 = subprog[cb]
      call bpf_timer_set_callback
      r7 += r0
      r1 = r6
      r2 = 1000
      r3 = 0
      call bpf_timer_start
      r0 += r7
      out: exit
      cb:
      r6 = r3
      r4 = *(u32 *)(r2 + 0)
      r1 = map[c][0]+0
      lock *(u64 *)(r1 + 0) += r4
      r1 = r6
      r2 = 500
      r3 = 0
      call bpf_timer_start
      r0 = 0
      exit`);
    const count = (): number => maps.get("c")!.lookup(u32(0))![0]!;
    expect(program.run(0)).toBe(0);
    expect(machine.runTimers()).toBe(0);
    host.advance(999n);
    expect(machine.runTimers()).toBe(0);
    host.advance(1n);
    expect(machine.runTimers()).toBe(1);
    host.advance(500n);
    expect(machine.runTimers()).toBe(1);
    expect(count()).toBe(14);
    program.close();
    host.advance(500n);
    machine.runTimers();
    expect(count()).toBe(14);
  });

  test("a format that changes in memory is read anew", () => {
    const w = world([]);
    const p = w.load(`
      r6 = *(u32 *)(r1 + 0)
      *(u32 *)(r10 - 8) = 0x000a7525
      r2 = *(u8 *)(r6 + 0)
      if r2 == 0 goto print
      *(u32 *)(r10 - 8) = 0x000a7825
    print:
      r1 = r10
      r1 += -8
      r2 = 4
      r3 = 255
      call bpf_trace_printk
      exit`);
    const ring = new XdpRing(w.machine.memory);
    const packet = new Uint8Array(64);
    expect([0, 1, 0].map((first) => p.run(ring.write(0, packet.fill(first))))).toEqual([4, 3, 4]);
    expect(w.host.lines).toEqual(["255", "ff", "255"]);
  });

  test("perf_event_output hands data and packet bytes to the reader of a CPU", () => {
    const { machine, maps, load } = world([spec("m", MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2)]);
    const reader = (maps.get("m") as PerfEventArrayMap).openReader(0, 4096);
    const program = load(`
      *(u32 *)(r10 - 4) = 0x04030201
      r2 = map[m]
      r3 = 0x00000003ffffffff ll
      r4 = r10
      r4 += -4
      r5 = 4
      call bpf_perf_event_output
      exit`);
    const ring = new XdpRing(machine.memory);
    expect(
      program.run(
        ring.write(
          0,
          Uint8Array.from({ length: 64 }, (_, i) => 0x40 + i),
        ),
      ),
    ).toBe(0);
    expect([...reader.read()!]).toEqual([1, 2, 3, 4, 0x40, 0x41, 0x42]);
    expect(reader.read()).toBeUndefined();
  });

  test("user_ringbuf_drain gives each record as a dynptr until the callback answers 1", () => {
    const { maps, load } = world([spec("m", MapType.BPF_MAP_TYPE_USER_RINGBUF, 0, 0, 4096)]);
    const ring = maps.get("m") as UserRingbufMap;
    for (const n of [5, 6, 7]) ring.produce(Uint8Array.of(n, 0, 0, 0));
    const program = load(`
      *(u64 *)(r10 - 8) = 0
      r1 = map[m]
      r2 = subprog[cb]
      r3 = r10
      r3 += -8
      r4 = 0
      call bpf_user_ringbuf_drain
      r0 *= 1000
      r1 = *(u64 *)(r10 - 8)
      r0 += r1
      exit
      cb:
      r6 = r2
      r3 = r1
      r1 = r10
      r1 += -8
      r2 = 4
      r4 = 0
      r5 = 0
      call bpf_dynptr_read
      r1 = *(u32 *)(r10 - 8)
      r2 = *(u64 *)(r6 + 0)
      r2 *= 10
      r2 += r1
      *(u64 *)(r6 + 0) = r2
      r0 = 0
      if r1 != 6 goto out
      r0 = 1
      out: exit`);
    expect(program.run(0)).toBe(2056);
    expect(program.run(0)).toBe(1007);
  });

  test("a tail call from a subprogram returns to the caller with the other program's result", () => {
    const { maps, load } = world([spec("m", MapType.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2)]);
    const target = load("r0 = 40\nexit");
    maps.get("m")!.update(u32(1), u32(target.id));
    const program = load(`
      r6 = 2
      call f
      r0 += r6
      exit
      f:
      r2 = map[m]
      r3 = 1
      call bpf_tail_call
      r0 = 7
      exit`);
    expect(program.run(0)).toBe(42);
    maps.get("m")!.delete(u32(1));
    expect(program.run(0)).toBe(9);
  });

  test("33 tail calls are followed, the 34th is not", () => {
    const { maps, load } = world([
      spec("m", MapType.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1),
      spec("c", MapType.BPF_MAP_TYPE_ARRAY, 4, 8, 1),
    ]);
    const program = load(`
      r4 = map[c][0]+0
      r5 = 1
      lock *(u64 *)(r4 + 0) += r5
      r2 = map[m]
      r3 = 0
      call bpf_tail_call
      r0 = 1
      exit`);
    maps.get("m")!.update(u32(0), u32(program.id));
    expect(program.run(0)).toBe(1);
    expect(maps.get("c")!.lookup(u32(0))![0]).toBe(34);
  });

  test("lookups of sockets, routes and MTUs are the host's", () => {
    const asked: string[] = [];
    const { machine, load } = world([], {
      fibLookup: (memory, params, size) => {
        asked.push(`fib ${size}`);
        memory.view.setUint32(params, 3, true);
        return 0;
      },
      socketLookup: (_memory, query) => {
        asked.push(`${query.protocol} ${query.size} ${query.netns === 0xffffffffffffffffn}`);
        return 0x20000;
      },
      deviceMtu: (ifindex) => (ifindex === 2 ? 1500 : undefined),
    });
    const program = load(
      `
      r6 = r1
      r2 = r10
      r2 += -64
      r3 = 64
      r4 = 0
      call bpf_fib_lookup
      r7 = *(u32 *)(r10 - 64)
      r1 = r6
      r2 = r10
      r2 += -64
      r3 = 12
      r4 = -1
      r5 = 0
      call bpf_sk_lookup_tcp
      r7 += r0
      r1 = r0
      call bpf_sk_release
      *(u32 *)(r10 - 4) = 0
      r1 = r6
      r2 = 2
      r3 = r10
      r3 += -4
      r4 = 0
      r5 = 0
      call bpf_check_mtu
      r1 = *(u32 *)(r10 - 4)
      r0 += r7
      r0 += r1
      exit`,
      TC,
    );
    const skb = new SkbBuffer(machine.memory);
    expect(program.run(skb.write(new Uint8Array(60)))).toBe(3 + 0x20000 + 1500);
    expect(asked).toEqual(["fib 64", "tcp 12 true"]);
  });

  test("a redirect leaves its target in the CPU block", () => {
    const { machine, load } = world([]);
    const program = load("r1 = 9\nr2 = 1\ncall bpf_redirect\nexit", TC);
    const skb = new SkbBuffer(machine.memory);
    expect(program.run(skb.write(new Uint8Array(60), { mark: 5 }))).toBe(7);
    expect(skb.field(SKB.MARK)).toBe(5);
    const word = (field: number): number => machine.memory.view.getUint32(machine.cpuBlock + field, true);
    expect([word(CPU.REDIRECT_KIND), word(CPU.REDIRECT_TARGET), word(CPU.REDIRECT_FLAGS)]).toEqual([
      REDIRECT.IFINDEX,
      9,
      1,
    ]);
  });

  test("per-CPU values and the CPU's number follow machine.cpu", () => {
    const { machine, maps, load } = world([spec("m", MapType.BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1)], {}, 4);
    const program = load(`
      *(u32 *)(r10 - 4) = 0
      r1 = map[m]
      r2 = r10
      r2 += -4
      call bpf_map_lookup_elem
      if r0 == 0 goto out
      r1 = *(u64 *)(r0 + 0)
      r1 += 1
      *(u64 *)(r0 + 0) = r1
      out:
      call bpf_get_smp_processor_id
      exit`);
    for (const cpu of [0, 2, 2, 3]) {
      machine.cpu = cpu;
      expect(program.run(0)).toBe(cpu);
    }
    const values = maps.get("m")!.lookup(u32(0))!;
    expect([values[0], values[8], values[16], values[24]]).toEqual([1, 0, 2, 1]);
  });

  test("pages of an arena are allocated, linked by pointers through both casts, and given back", () => {
    const mmapable = 1 << 10;
    const { machine, maps, load } = world([{ ...spec("m", MapType.BPF_MAP_TYPE_ARENA, 0, 0, 4), flags: mmapable }]);
    const program = load(`
      r1 = map[m]
      r2 = 0
      r3 = 2
      r4 = -1
      r5 = 0
      call kfunc[bpf_arena_alloc_pages]
      if r0 == 0 goto out
      r6 = r0
      r1 = addr_space_cast(r6, 0, 1)
      r2 = r1
      r2 += 4096
      r2 = addr_space_cast(r2, 1, 0)
      *(u64 *)(r1 + 8) = r2
      r3 = *(u64 *)(r1 + 8)
      r3 = addr_space_cast(r3, 0, 1)
      *(u32 *)(r3 + 0) = 77
      r7 = *(u32 *)(r1 + 4096)
      r1 = map[m]
      r2 = r6
      r3 = 2
      call kfunc[bpf_arena_free_pages]
      r0 = r7
      out: exit`);
    for (let i = 0; i < 5; i++) expect(machine.r0(program.run(0))).toBe(77n);
    expect(maps.get("m")!.type).toBe(MapType.BPF_MAP_TYPE_ARENA);
  });

  test("what userspace does not have is refused at load, by name", () => {
    const { load } = world([]);
    expect(() => load("call bpf_send_signal\nexit")).toThrow("helper bpf_send_signal is not available in userspace");
    expect(() => load("call kfunc[bpf_unheard_of]\nexit")).toThrow("no kfunc named bpf_unheard_of");
  });
});
