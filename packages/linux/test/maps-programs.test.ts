/**
 * Map helpers called by programs: the kernel runs a tc program that looks up, updates and deletes, ebplane's runtime
 * does the same; results and contents must agree, also which elements an LRU drops. EBPLANE_SEED picks another seed.
 */
import { assemble } from "@ebplane/core/asm";
import { Errno, errnoName } from "@ebplane/core/errors";
import { createMap, createRuntime } from "@ebplane/core/maps";
import { Memory } from "@ebplane/core/mem";
import { isPerCpu, type MapSpec, MapType, ProgType } from "@ebplane/core/object";
import { beforeAll, expect, test } from "vitest";
import { Cmd, mapCreate, mapElem, possibleCpus, progLoad, progTestRun } from "../src/bpf/index.ts";
import { allocBlock, freeBlock } from "../src/mem/index.ts";
import { close, NR, syscall } from "../src/sys/index.ts";
import { kernelOlder, kernelSkipReason } from "../src/testing.ts";

const skip = kernelSkipReason();
const SEED = Number(process.env.EBPLANE_SEED ?? 20261121);
const STEPS = 1200;

const LOOKUP = 0;
const UPDATE = 1;
const DELETE = 2;

/** Where the packet holds what to do. */
const ACTION = 16;
const FLAGS = 20;
const KEY = 24;
const VALUE = 32;
const PACKET = 40;

/** Returns the new first word of a value it finds (which it adds 1 to), 0 for none, or what the helper returned. */
const ACTOR = (mapFd: number) => `
  r6 = *(u32 *)(r1 + 76)
  r7 = *(u32 *)(r1 + 80)
  r2 = r6
  r2 += ${PACKET}
  r0 = 99
  if r2 > r7 goto end
  r8 = *(u64 *)(r6 + ${KEY})
  *(u64 *)(r10 - 8) = r8
  r8 = *(u64 *)(r6 + ${VALUE})
  *(u64 *)(r10 - 16) = r8
  r9 = *(u32 *)(r6 + ${ACTION})
  r4 = *(u32 *)(r6 + ${FLAGS})
  r1 = map[fd:${mapFd}]
  r2 = r10
  r2 += -8
  if r9 == ${UPDATE} goto update
  if r9 == ${DELETE} goto delete
  call 1
  if r0 == 0 goto end
  r1 = *(u32 *)(r0 + 0)
  r1 += 1
  *(u32 *)(r0 + 0) = r1
  r0 = r1
  goto end
update:
  r3 = r10
  r3 += -16
  call 2
  goto end
delete:
  call 3
end:
  exit
`;

const T = MapType;
const ZERO_SEED = 64;

interface Plan {
  readonly title: string;
  readonly spec: Partial<MapSpec> & { readonly type: number };
}

const PLANS: readonly Plan[] = [
  { title: "array", spec: { type: T.BPF_MAP_TYPE_ARRAY } },
  { title: "percpu_array", spec: { type: T.BPF_MAP_TYPE_PERCPU_ARRAY } },
  { title: "hash", spec: { type: T.BPF_MAP_TYPE_HASH, flags: ZERO_SEED } },
  { title: "hash without preallocation", spec: { type: T.BPF_MAP_TYPE_HASH, flags: ZERO_SEED | 1, keySize: 7 } },
  { title: "percpu_hash", spec: { type: T.BPF_MAP_TYPE_PERCPU_HASH, flags: ZERO_SEED } },
  ...[1, 3, 10, 40, 500].flatMap((maxEntries) =>
    [0, 2].flatMap((flags) => [
      {
        title: `lru_hash of ${maxEntries} flags ${flags}`,
        spec: { type: T.BPF_MAP_TYPE_LRU_HASH, flags: flags | ZERO_SEED, maxEntries },
      },
      {
        title: `lru_percpu_hash of ${maxEntries} flags ${flags}`,
        spec: { type: T.BPF_MAP_TYPE_LRU_PERCPU_HASH, flags: flags | ZERO_SEED, maxEntries },
      },
    ]),
  ),
  { title: "lpm_trie", spec: { type: T.BPF_MAP_TYPE_LPM_TRIE, flags: 1, keySize: 8 } },
];

beforeAll(() => {
  if (skip) return;
  // Per-CPU values and LRU lists: stay on the CPU that ebplane's runtime thinks it is on.
  const one = allocBlock(8);
  one.bytes[0] = 1;
  expect(syscall(NR.sched_setaffinity, 0, 8, one.address)).toBe(0);
});

/**
 * An LRU's free target follows its size since 6.16, which 6.12's stable releases have, too; a trie obeys BPF_EXIST since 6.13,
 * and in 6.1's. Source: kernel/bpf/bpf_lru_list.c `target_free`, kernel/bpf/lpm_trie.c `trie_update_elem`.
 */
const sameRules = ({ title }: { readonly title: string }): boolean =>
  !(title.startsWith("lru") && kernelOlder("6.12")) && !(title === "lpm_trie" && kernelOlder("6.1"));

test.skipIf(skip).each(PLANS.filter(sameRules))(
  "$title: a program meets the same map in the kernel and in ebplane",
  ({ title, spec: over }) => {
    const rnd = generator(SEED);
    const spec: MapSpec = { name: "m", keySize: 4, valueSize: 8, maxEntries: 20, flags: 0, ...over };
    const cpus = possibleCpus();
    const rt = createRuntime(new Memory(), { cpus });
    const { exports: x, memory } = rt;
    const map = createMap(rt, spec);
    const fd = mapCreate({ ...spec, name: "eb_prog" });
    const { fd: prog, log } = progLoad({
      type: ProgType.BPF_PROG_TYPE_SCHED_CLS,
      code: assemble(ACTOR(fd)).code,
      logLevel: 1,
    });
    expect(prog, log).toBeGreaterThan(0);
    const packet = new Uint8Array(64);
    const view = new DataView(packet.buffer);
    const at = memory.alloc(PACKET);
    const size = isPerCpu(spec.type) ? 8 * cpus : 8;
    const block = allocBlock(64 + size);

    const log12: string[] = [];
    for (let step = 0; step < STEPS; step++) {
      const action = [LOOKUP, LOOKUP, LOOKUP, UPDATE, UPDATE, UPDATE, UPDATE, DELETE][rnd(8)]!;
      const flags = [0, 0, 0, 0, 1, 2, 3, 4][rnd(8)]!;
      packet.fill(0, ACTION);
      view.setUint32(ACTION, action, true);
      view.setUint32(FLAGS, flags, true);
      putKey(packet.subarray(KEY, KEY + 8), spec, rnd);
      view.setUint32(VALUE, rnd(1000) * 2, true);
      view.setUint32(VALUE + 4, step, true);

      const run = progTestRun(prog, { packet });
      expect(run.result).toBe(0);
      const want = run.retval | 0;

      memory.u8.set(packet.subarray(KEY, PACKET), at);
      let got: number;
      if (action === UPDATE) got = x.map_update(map.addr, at, at + 8, BigInt(flags));
      else if (action === DELETE) got = x.map_delete(map.addr, at);
      else {
        const value = x.map_lookup(map.addr, at) >>> 0;
        got = value ? (memory.u32[value >>> 2] = memory.u32[value >>> 2]! + 1) : 0;
      }
      log12.push(
        `${["lookup", "update", "delete"][action]} ${Buffer.from(packet.subarray(KEY, PACKET)).toString("hex")} ${flags} -> ${want}`,
      );
      if (got !== want)
        expect.fail(`${title}, seed ${SEED}, step ${step}: ours ${got}\n${log12.slice(-12).join("\n")}`);
      if (step % 50 === 49) {
        expect(ours(), `seed ${SEED}, step ${step}\n${log12.slice(-12).join("\n")}`).toEqual(kernels());
      }
    }

    /** All entries in the map's order, as bpf(2) shows them. */
    function ours(): string[] {
      const all: string[] = [];
      for (let k = map.nextKey(); k; k = map.nextKey(k)) {
        all.push(`${Buffer.from(k).toString("hex")} ${Buffer.from(map.lookup(k)!).toString("hex")}`);
      }
      return all;
    }
    function kernels(): string[] {
      const all: string[] = [];
      const [next, value] = [block.address + 16, block.address + 64];
      for (let from = 0; ; from = block.address) {
        const r = mapElem(Cmd.MAP_GET_NEXT_KEY, fd, from, next, 0);
        if (r === -Errno.ENOENT) break;
        if (r < 0) throw new Error(errnoName(r));
        block.bytes.copyWithin(0, 16, 16 + spec.keySize);
        expect(mapElem(Cmd.MAP_LOOKUP_ELEM, fd, block.address, value, 0)).toBe(0);
        const hex = (a: number, n: number) => Buffer.from(block.bytes.subarray(a, a + n)).toString("hex");
        all.push(`${hex(0, spec.keySize)} ${hex(64, size)}`);
      }
      return all;
    }

    freeBlock(block);
    close(prog);
    close(fd);
  },
);

function putKey(key: Uint8Array, spec: MapSpec, rnd: (below: number) => number): void {
  if (spec.type === T.BPF_MAP_TYPE_LPM_TRIE) {
    key.set([rnd(34), 0, 0, 0, 10, rnd(3), rnd(4), rnd(200)]);
    return;
  }
  const n = rnd(Math.ceil(spec.maxEntries * 1.5) + 1);
  key.set([n, n >> 8, 0, 0]);
}

/** mulberry32: small and reproducible. */
function generator(seed: number): (below: number) => number {
  let a = seed >>> 0;
  return (below) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
