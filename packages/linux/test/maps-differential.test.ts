/**
 * ebplane's maps against the kernel's own of the same type: random sequences of operations must give the same results,
 * errno and contents. What the kernel fixes the order of is compared in order. Seeds are printed with a failure;
 * EBPLANE_SEED picks another one, EBPLANE_MAP_RUNS runs more.
 */

import { Errno, errnoName, SysError } from "@ebplane/core/errors";
import {
  createMap,
  createRuntime,
  type MapHost,
  type MapRuntime,
  type ValueField,
  type VmMap,
} from "@ebplane/core/maps";
import { Memory } from "@ebplane/core/mem";
import { isPerCpu, type MapSpec, MapType, mapTypeName } from "@ebplane/core/object";
import { beforeAll, expect, test } from "vitest";
import { btfLoad, Cmd, mapBatch, mapElem, mapFreeze, possibleCpus, tryMapCreate } from "../src/bpf/index.ts";
import { allocBlock, type Block, freeBlock } from "../src/mem/index.ts";
import { close, NR, syscall } from "../src/sys/index.ts";
import { kernelOlder, kernelSkipReason } from "../src/testing.ts";
import {
  CGROUP2,
  cgroupRefs,
  maps,
  perfEvents,
  programs,
  type Refs,
  reuseportSockets,
  sockets,
  xdpSockets,
} from "./map-references.ts";

const skip = kernelSkipReason() ?? (kernelOlder("6.12") ? "sim's maps answer as Linux 6.12 to 6.18 do" : undefined);
const SEED = Number(process.env.EBPLANE_SEED ?? 20261121);
/** Seeds in a row: one in CI, more on a search. */
const RUNS = Number(process.env.EBPLANE_MAP_RUNS ?? 1);

/** What a map answers: an errno name, "ok", or bytes in hex. */
type Answer = string;

interface Subject {
  lookup(key: Uint8Array): Answer;
  update(key: Uint8Array, value: Uint8Array, flags: number): Answer;
  delete(key: Uint8Array): Answer;
  next(key: Uint8Array | undefined): Answer;
  take(key: Uint8Array): Answer;
  freeze(): Answer;
  /** A batch command of `count`; reading ones from `cursor`, writing ones with keys and values. */
  batch(cmd: number, count: number, cursor?: Uint8Array, keys?: Uint8Array, values?: Uint8Array): BatchAnswer;
  close(): void;
}

const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

class KernelSubject implements Subject {
  readonly #fd: number;
  readonly #spec: MapSpec;
  readonly #block: Block;
  readonly #key: number;
  readonly #next: number;
  readonly #value: number;
  readonly #size: number;

  constructor(fd: number, spec: MapSpec) {
    this.#fd = fd;
    this.#spec = spec;
    this.#size = isPerCpu(spec.type) ? Math.ceil(spec.valueSize / 8) * 8 * possibleCpus() : spec.valueSize;
    const key = Math.ceil(spec.keySize / 8) * 8 + 8;
    this.#block = allocBlock(2 * key + this.#size + 8);
    this.#key = spec.keySize ? this.#block.address : 0;
    this.#next = key;
    this.#value = 2 * key;
  }

  #read(cmd: number, key: Uint8Array): Answer {
    // A bloom filter is asked about the value it is given.
    if (this.#spec.type === MapType.BPF_MAP_TYPE_BLOOM_FILTER) this.#block.bytes.set(key, this.#value);
    else this.#block.bytes.set(key);
    const r = mapElem(cmd, this.#fd, this.#key, this.#block.address + this.#value, 0);
    return r < 0 ? errnoName(r) : hex(this.#block.bytes.slice(this.#value, this.#value + this.#size));
  }
  lookup(key: Uint8Array): Answer {
    return this.#read(Cmd.MAP_LOOKUP_ELEM, key);
  }
  take(key: Uint8Array): Answer {
    return this.#read(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, key);
  }
  update(key: Uint8Array, value: Uint8Array, flags: number): Answer {
    this.#block.bytes.set(key);
    this.#block.bytes.set(value, this.#value);
    return result(mapElem(Cmd.MAP_UPDATE_ELEM, this.#fd, this.#key, this.#block.address + this.#value, flags));
  }
  delete(key: Uint8Array): Answer {
    this.#block.bytes.set(key);
    return result(mapElem(Cmd.MAP_DELETE_ELEM, this.#fd, this.#key, 0, 0));
  }
  next(key: Uint8Array | undefined): Answer {
    if (key) this.#block.bytes.set(key);
    const r = mapElem(Cmd.MAP_GET_NEXT_KEY, this.#fd, key ? this.#key : 0, this.#block.address + this.#next, 0);
    return r < 0 ? errnoName(r) : hex(this.#block.bytes.slice(this.#next, this.#next + this.#spec.keySize));
  }
  freeze(): Answer {
    try {
      mapFreeze(this.#fd);
      return "ok";
    } catch (e) {
      return errnoName((e as SysError).errno);
    }
  }
  batch(cmd: number, count: number, cursor?: Uint8Array, keys?: Uint8Array, values?: Uint8Array): BatchAnswer {
    const { keySize } = this.#spec;
    const block = allocBlock(1024 + count * (keySize + this.#size) + 8);
    const [keysAt, valuesAt] = [1024, 1024 + count * keySize];
    const reads = cmd === Cmd.MAP_LOOKUP_BATCH || cmd === Cmd.MAP_LOOKUP_AND_DELETE_BATCH;
    if (cursor) block.bytes.set(cursor);
    if (keys) block.bytes.set(keys, keysAt);
    if (values) block.bytes.set(values, valuesAt);
    block.bytes.fill(0xa5, 512, 1024);
    const r = mapBatch(cmd, {
      fd: this.#fd,
      inBatch: cursor ? block.address : 0,
      outBatch: reads ? block.address + 512 : 0,
      keys: block.address + keysAt,
      values: block.address + valuesAt,
      count,
    });
    const answer = result(r.result);
    const none = answer === "ENOTSUPP" || answer === "EPERM";
    const read = reads && !none;
    const cursorSize = /hash/.test(mapTypeName(this.#spec.type)) ? 4 : keySize;
    const out = block.bytes.slice(512, 512 + cursorSize);
    const done = {
      answer,
      count: none ? 0 : r.count,
      ...(read && {
        keys: block.bytes.slice(keysAt, keysAt + r.count * keySize),
        values: block.bytes.slice(valuesAt, valuesAt + r.count * this.#size),
        cursor: out.every((b) => b === 0xa5) ? undefined : out,
      }),
    };
    freeBlock(block);
    return done;
  }
  close(): void {
    freeBlock(this.#block);
    close(this.#fd);
  }
}

class OurSubject implements Subject {
  readonly map: VmMap;
  constructor(map: VmMap) {
    this.map = map;
  }
  /** Of a bloom filter only the lookup takes bytes: a value. */
  #key(key: Uint8Array): Uint8Array {
    return key.subarray(0, this.map.spec.keySize);
  }
  lookup(key: Uint8Array): Answer {
    return answer(() => this.map.lookup(key));
  }
  take(key: Uint8Array): Answer {
    return answer(() => this.map.lookupAndDelete(this.#key(key)));
  }
  update(key: Uint8Array, value: Uint8Array, flags: number): Answer {
    return ok(() => this.map.update(this.#key(key), value, flags));
  }
  delete(key: Uint8Array): Answer {
    return answer(() => (this.map.delete(this.#key(key)) ? "ok" : undefined));
  }
  next(key: Uint8Array | undefined): Answer {
    return answer(() => this.map.nextKey(key && this.#key(key)));
  }
  freeze(): Answer {
    return ok(() => this.map.freeze());
  }
  batch(cmd: number, count: number, cursor?: Uint8Array, keys?: Uint8Array, values?: Uint8Array): BatchAnswer {
    try {
      if (cmd === Cmd.MAP_UPDATE_BATCH) return wrote(this.map.updateBatch(keys!, values!, count));
      if (cmd === Cmd.MAP_DELETE_BATCH) return wrote(this.map.deleteBatch(keys!, count));
      const b =
        cmd === Cmd.MAP_LOOKUP_BATCH
          ? this.map.lookupBatch(count, cursor)
          : this.map.lookupAndDeleteBatch(count, cursor);
      return { ...b, answer: result(b.result) };
    } catch (e) {
      if (e instanceof SysError) return { answer: errnoName(e.errno), count: 0 };
      throw e;
    }
  }
  close(): void {
    this.map.close();
  }
}

function wrote(b: { readonly result: number; readonly count: number }): BatchAnswer {
  return { answer: result(b.result), count: b.count };
}

function ok(body: () => void): Answer {
  return answer(() => {
    body();
    return "ok";
  });
}

function result(r: number): Answer {
  return r < 0 ? errnoName(r) : "ok";
}

function answer(body: () => Uint8Array | string | undefined): Answer {
  try {
    const r = body();
    return r === undefined ? "ENOENT" : typeof r === "string" ? r : hex(r);
  } catch (e) {
    if (e instanceof SysError) return errnoName(e.errno);
    throw e;
  }
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

interface Plan {
  readonly title: string;
  readonly spec: Partial<MapSpec> & { readonly type: number };
  /** A key out of a small set, so that operations meet. */
  readonly key?: (rnd: (below: number) => number, spec: MapSpec) => Uint8Array;
  readonly value?: (rnd: (below: number) => number, spec: MapSpec) => Uint8Array;
  readonly flags?: readonly number[];
  /** The kernel fixes the iteration order: compare it. */
  readonly ordered: boolean;
  readonly steps?: number;
  /** Values are indexes into these pairs: what the kernel takes for it (an fd) and what ebplane takes (an id). */
  readonly refs?: (rt: MapRuntime) => Refs;
  /** Special fields in the values; the kernel learns them by BTF. */
  readonly fields?: readonly ValueField[];
  /** The kernel from which on it answers so. */
  readonly since?: string;
}

const u32 = (n: number) => new Uint8Array(new Uint32Array([n]).buffer);

function randomKey(rnd: (below: number) => number, spec: MapSpec): Uint8Array {
  const key = new Uint8Array(spec.keySize);
  const n = rnd(Math.max(4, Math.ceil(spec.maxEntries * 1.5)));
  // The distinguishing bytes at different places of long keys.
  const at = spec.keySize > 4 ? (n * 7) % (spec.keySize - 3) : 0;
  key.set(u32(n + 1).subarray(0, Math.min(4, spec.keySize - at)), at);
  return key;
}

function randomValue(rnd: (below: number) => number, spec: MapSpec): Uint8Array {
  const size = isPerCpu(spec.type) ? Math.ceil(spec.valueSize / 8) * 8 * possibleCpus() : spec.valueSize;
  return Uint8Array.from({ length: size }, () => rnd(256));
}

const FLAGS = [0, 0, 0, 0, 1, 2, 3, 4, 8];

function* pair(
  rt: MapRuntime,
  spec: MapSpec,
  refs?: Refs,
  fields: readonly ValueField[] = [],
): Generator<[Subject, Subject]> {
  const btfFd = fields.length ? loadBtf(spec, fields) : undefined;
  const types = btfFd === undefined ? {} : { btfFd, btfKeyTypeId: 1, btfValueTypeId: 2 };
  const fd = tryMapCreate({ ...spec, name: "eb_diff", innerMapFd: refs?.innerMapFd, ...types });
  if (btfFd !== undefined) close(btfFd);
  const ours = answer(() => {
    made = createMap(rt, spec, fields);
    return "ok";
  });
  expect(ours, `creating ${JSON.stringify({ ...spec, mapExtra: Number(spec.mapExtra ?? 0) })}`).toBe(result(fd));
  if (fd < 0) return;
  const pair: [Subject, Subject] = [new KernelSubject(fd, spec), new OurSubject(made!)];
  if (refs) {
    pair[0] = withRefs(
      pair[0],
      (i) => refs.values[i]![0],
      (shown) => refs.shown.get(shown) ?? shown,
    );
    const ours = made!;
    const { fill } = refs;
    if (fill) pair[1].update = (key, value, flags) => ok(() => fill(ours, key, value, flags));
    pair[1] = withRefs(
      pair[1],
      (i) => refs.values[i]![1],
      (shown) => shown,
    );
  }
  try {
    yield pair;
  } finally {
    for (const s of pair) s.close();
  }
}
let made: VmMap | undefined;

/** A subject whose values are indexes of references. */
function withRefs(subject: Subject, ref: (index: number) => number, show: (answer: Answer) => Answer): Subject {
  /** Values one after the other, with `change` made to each. */
  const each = (values: Uint8Array | undefined, count: number, change: (one: Uint8Array) => Uint8Array) => {
    if (!values || !count) return values;
    const size = values.length / count;
    return join(Array.from({ length: count }, (_, i) => change(values.subarray(i * size, (i + 1) * size))));
  };
  const named = (one: Uint8Array) => {
    const v = new Uint8Array(one.length);
    v.set(u32(ref(one[0]!)));
    return v;
  };
  return {
    lookup: (key) => show(subject.lookup(key)),
    take: (key) => show(subject.take(key)),
    update(key, value, flags) {
      return subject.update(key, named(value), flags);
    },
    delete: (key) => subject.delete(key),
    next: (key) => subject.next(key),
    freeze: () => subject.freeze(),
    batch(cmd, count, cursor, keys, values) {
      const done = subject.batch(cmd, count, cursor, keys, each(values, count, named));
      return { ...done, values: each(done.values, done.count, (one) => bytes(show(hex(one)))) };
    },
    close: () => subject.close(),
  };
}

function run(plan: Plan, seed: number): void {
  const host: MapHost = { netdev: (ifindex) => ifindex === 1 };
  const rt = createRuntime(new Memory(), { cpus: possibleCpus(), host });
  const refs = plan.refs?.(rt);
  Object.assign(host, refs?.host);
  try {
    compare(plan, seed, rt, refs);
  } finally {
    refs?.close();
  }
}

function compare(plan: Plan, seed: number, rt: MapRuntime, refs: Refs | undefined): void {
  const rnd = generator(seed);
  const spec: MapSpec = { name: "m", keySize: 4, valueSize: 8, maxEntries: 16, flags: 0, ...plan.spec, ...refs?.spec };
  const key = plan.key ?? randomKey;
  const refValue = () => {
    const v = new Uint8Array(spec.valueSize);
    v[0] = rnd(refs!.values.length);
    return v;
  };
  const value = refs ? refValue : (plan.value ?? randomValue);
  const flags = plan.flags ?? FLAGS;
  const log: string[] = [];
  for (const [kernel, ours] of pair(rt, spec, refs, plan.fields)) {
    const both = (what: string, act: (s: Subject) => Answer) => {
      const want = act(kernel);
      log.push(`${what} -> ${want}`);
      const got = act(ours);
      if (got !== want) expect.fail(`${plan.title}, seed ${seed}: ours ${got}\n${log.slice(-12).join("\n")}`);
    };
    for (let step = 0; step < (plan.steps ?? 1500); step++) {
      const k = key(rnd, spec);
      const dice = rnd(20);
      if (dice < 9) {
        const v = value(rnd, spec);
        const f = flags[rnd(flags.length)]!;
        both(`update ${hex(k)} ${hex(v)} ${f}`, (s) => s.update(k, v, f));
      } else if (dice < 13) both(`lookup ${hex(k)}`, (s) => s.lookup(k));
      else if (dice < 16) both(`delete ${hex(k)}`, (s) => s.delete(k));
      else if (dice < 17) both(`take ${hex(k)}`, (s) => s.take(k));
      else if (dice < 18 && plan.ordered) {
        const from = rnd(4) ? k : undefined;
        both(`next ${from ? hex(from) : "NULL"}`, (s) => s.next(from));
      } else if (step % (spec.maxEntries > 100 ? 100 : 10) === 0) {
        const want = dump(kernel, plan.ordered);
        const got = dump(ours, plan.ordered);
        if (got.join() !== want.join()) {
          expect.fail(
            `${plan.title}, seed ${seed}: ours\n${got.join("\n")}\nkernel\n${want.join("\n")}\n${log.slice(-12).join("\n")}`,
          );
        }
      }
    }
    both("freeze", (s) => s.freeze());
    const k = key(rnd, spec);
    const v = value(rnd, spec);
    both("update frozen", (s) => s.update(k, v, 0));
    both("delete frozen", (s) => s.delete(k));
    both("lookup frozen", (s) => s.lookup(k));
    both("take frozen", (s) => s.take(k));
    both("freeze again", (s) => s.freeze());
  }
}

function dump(s: Subject, ordered: boolean): string[] {
  const out: string[] = [];
  for (let k = s.next(undefined); !/^E/.test(k) && out.length < 100_000; k = s.next(bytes(k))) {
    out.push(`${k}=${s.lookup(bytes(k))}`);
  }
  return ordered ? out : out.sort();
}

/** Fields that are a struct of their own, with its size and the first kernel that has it; the others need tags. */
const FIELD_TYPES = {
  spin_lock: ["bpf_spin_lock", 4, "5.1"],
  res_spin_lock: ["bpf_res_spin_lock", 4, "6.15"],
  timer: ["bpf_timer", 16, "5.15"],
  workqueue: ["bpf_wq", 16, "6.10"],
  task_work: ["bpf_task_work", 8, "6.18"],
} as const;
type PlainField = keyof typeof FIELD_TYPES;
const T = MapType;
const noKey = () => new Uint8Array(0);
const NO_PREALLOC = 1;
const ZERO_SEED = 64;

const PLANS: readonly Plan[] = [
  { title: "array", spec: { type: T.BPF_MAP_TYPE_ARRAY, valueSize: 5, maxEntries: 7 }, key: arrayKey, ordered: true },
  {
    title: "array mmapable",
    spec: { type: T.BPF_MAP_TYPE_ARRAY, valueSize: 12, flags: 1024 },
    key: arrayKey,
    ordered: true,
  },
  { title: "percpu_array", spec: { type: T.BPF_MAP_TYPE_PERCPU_ARRAY, valueSize: 12 }, key: arrayKey, ordered: true },
  ...[T.BPF_MAP_TYPE_HASH, T.BPF_MAP_TYPE_PERCPU_HASH].flatMap((type) =>
    [0, NO_PREALLOC].flatMap((flags) =>
      [1, 3, 4, 8, 13, 16, 40].flatMap((keySize) => [
        {
          title: `type ${type} flags ${flags} key ${keySize}`,
          spec: { type, flags, keySize, valueSize: 7 },
          ordered: false,
          steps: 700,
        },
        {
          title: `type ${type} flags ${flags} key ${keySize} zero seed`,
          spec: { type, flags: flags | ZERO_SEED, keySize, valueSize: 16, maxEntries: 50 },
          ordered: true,
          steps: 700,
        },
      ]),
    ),
  ),
  ...[5, 6, 8, 12, 20, 36, 260].flatMap((keySize) => [
    {
      title: `lpm_trie key ${keySize}`,
      spec: { type: T.BPF_MAP_TYPE_LPM_TRIE, flags: 1, keySize, maxEntries: 40, valueSize: 3 },
      key: lpmKey(60),
      ordered: true,
      steps: 3000,
    },
    {
      title: `lpm_trie key ${keySize} dense`,
      spec: { type: T.BPF_MAP_TYPE_LPM_TRIE, flags: 1, keySize, maxEntries: 1000 },
      key: lpmKey(2000),
      flags: [0, 0, 1],
      ordered: true,
      steps: 600,
    },
  ]),
  ...[T.BPF_MAP_TYPE_LRU_HASH, T.BPF_MAP_TYPE_LRU_PERCPU_HASH].flatMap((type) =>
    [0, 2].flatMap((flags) =>
      [1, 2, 5, 50, 700].map((maxEntries) => ({
        title: `type ${type} flags ${flags} of ${maxEntries}`,
        spec: { type, flags: flags | ZERO_SEED, maxEntries },
        ordered: true,
        steps: maxEntries > 500 ? 4000 : 1500,
      })),
    ),
  ),
  ...[T.BPF_MAP_TYPE_QUEUE, T.BPF_MAP_TYPE_STACK].flatMap((type) =>
    [1, 7, 300].map((valueSize) => ({
      title: `type ${type} value ${valueSize}`,
      spec: { type, keySize: 0, valueSize, maxEntries: 9 },
      key: noKey,
      ordered: true,
    })),
  ),
  ...[0, 3, 15].flatMap((funcs) =>
    [4, 5, 13, 24].map((valueSize) => ({
      title: `bloom_filter of ${funcs} functions, value ${valueSize}`,
      spec: {
        type: T.BPF_MAP_TYPE_BLOOM_FILTER,
        keySize: 0,
        valueSize,
        maxEntries: 100,
        flags: ZERO_SEED,
        mapExtra: BigInt(funcs),
      },
      key: (rnd: (below: number) => number) => new Uint8Array(valueSize).fill(rnd(200)),
      value: (rnd: (below: number) => number) => new Uint8Array(valueSize).fill(rnd(200)),
      ordered: true,
      steps: 400,
    })),
  ),
  ...[4, 8].flatMap((valueSize) => [
    {
      title: `devmap value ${valueSize}`,
      spec: { type: T.BPF_MAP_TYPE_DEVMAP, valueSize },
      key: arrayKey,
      value: device,
      ordered: true,
    },
    {
      title: `devmap_hash value ${valueSize}`,
      spec: { type: T.BPF_MAP_TYPE_DEVMAP_HASH, valueSize, maxEntries: 13 },
      value: device,
      ordered: true,
    },
    {
      title: `cpumap value ${valueSize}`,
      spec: { type: T.BPF_MAP_TYPE_CPUMAP, valueSize, maxEntries: 8 },
      key: arrayKey,
      value: queue,
      ordered: true,
      steps: 200,
    },
  ]),
  {
    title: "prog_array",
    spec: { type: T.BPF_MAP_TYPE_PROG_ARRAY, valueSize: 4 },
    key: arrayKey,
    refs: programs,
    ordered: true,
  },
  ...[T.BPF_MAP_TYPE_HASH, T.BPF_MAP_TYPE_ARRAY].flatMap((inner) => [
    {
      title: `array_of_maps of type ${inner}`,
      spec: { type: T.BPF_MAP_TYPE_ARRAY_OF_MAPS, valueSize: 4 },
      key: arrayKey,
      refs: maps(inner),
      ordered: true,
      steps: 60,
    },
    ...[0, NO_PREALLOC].map((flags) => ({
      title: `hash_of_maps of type ${inner} flags ${flags}`,
      spec: { type: T.BPF_MAP_TYPE_HASH_OF_MAPS, valueSize: 4, flags: flags | ZERO_SEED },
      refs: maps(inner),
      ordered: true,
      steps: 60,
    })),
  ]),
  ...[4, 8].flatMap((valueSize) => [
    {
      title: `sockmap value ${valueSize}`,
      spec: { type: T.BPF_MAP_TYPE_SOCKMAP, valueSize },
      key: arrayKey,
      refs: sockets,
      ordered: true,
    },
    ...[4, 7, 12, 16].map((keySize) => ({
      title: `sockhash key ${keySize} value ${valueSize}`,
      spec: { type: T.BPF_MAP_TYPE_SOCKHASH, valueSize, keySize },
      refs: sockets,
      ordered: true,
    })),
  ]),
  ...[T.BPF_MAP_TYPE_HASH, T.BPF_MAP_TYPE_ARRAY, T.BPF_MAP_TYPE_PERCPU_HASH, T.BPF_MAP_TYPE_LRU_HASH].flatMap((type) =>
    [0, NO_PREALLOC].flatMap((flags) =>
      (Object.keys(FIELD_TYPES) as PlainField[]).map((kind) => ({
        title: `type ${type} flags ${flags} with a ${kind}`,
        spec: { type, flags: flags ? NO_PREALLOC | ZERO_SEED : 0, valueSize: 40 },
        key: type === T.BPF_MAP_TYPE_ARRAY ? arrayKey : randomKey,
        fields: [{ offset: 8, size: FIELD_TYPES[kind][1], kind }],
        since: FIELD_TYPES[kind][2],
        flags: [0, 0, 1, 2, 4, 4, 5, 6, 8],
        ordered: false,
        steps: 400,
      })),
    ),
  ),
  ...[4, 8].map((valueSize) => ({
    title: `reuseport_sockarray value ${valueSize}`,
    spec: { type: T.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, valueSize, maxEntries: 6 },
    key: arrayKey,
    refs: reuseportSockets,
    ordered: true,
  })),
  {
    title: "perf_event_array",
    spec: { type: T.BPF_MAP_TYPE_PERF_EVENT_ARRAY, valueSize: 4, maxEntries: 6 },
    key: arrayKey,
    refs: perfEvents,
    ordered: true,
  },
  {
    title: "xskmap",
    spec: { type: T.BPF_MAP_TYPE_XSKMAP, valueSize: 4, maxEntries: 6 },
    key: arrayKey,
    refs: xdpSockets,
    ordered: true,
  },
  ...(CGROUP2 === undefined
    ? []
    : [
        {
          title: "cgroup_array",
          spec: { type: T.BPF_MAP_TYPE_CGROUP_ARRAY, valueSize: 4, maxEntries: 6 },
          key: arrayKey,
          refs: cgroupRefs,
          ordered: true,
        },
      ]),
  // Only programs fill it: what userspace is answered on an empty one.
  {
    title: "stack_trace",
    spec: { type: T.BPF_MAP_TYPE_STACK_TRACE, valueSize: 80, maxEntries: 6 },
    // Before, none was looked up and deleted at once.
    since: "6.18",
    key: arrayKey,
    ordered: true,
    steps: 300,
  },
  // Mapped, never addressed by key.
  ...[T.BPF_MAP_TYPE_RINGBUF, T.BPF_MAP_TYPE_USER_RINGBUF, T.BPF_MAP_TYPE_ARENA].map((type) => ({
    title: `${mapTypeName(type)} by key`,
    spec: {
      type,
      keySize: 0,
      valueSize: 0,
      maxEntries: type === T.BPF_MAP_TYPE_ARENA ? 2 : 4096,
      flags: type === T.BPF_MAP_TYPE_ARENA ? 1024 : 0,
    },
    key: noKey,
    ordered: true,
    steps: 100,
  })),
  { title: "hash of one", spec: { type: T.BPF_MAP_TYPE_HASH, maxEntries: 1, flags: ZERO_SEED }, ordered: true },
  { title: "read-only hash", spec: { type: T.BPF_MAP_TYPE_HASH, flags: 8 }, ordered: true, steps: 100 },
  { title: "write-only hash", spec: { type: T.BPF_MAP_TYPE_HASH, flags: 16 }, ordered: true, steps: 100 },
];

/** Prefixes that nest and share bytes; the same number gives the same prefix. */
function lpmKey(variety: number) {
  return (rnd: (below: number) => number, spec: MapSpec): Uint8Array => {
    const size = spec.keySize - 4;
    const of = generator(rnd(variety));
    const key = new Uint8Array(spec.keySize);
    const at = of(3) ? 0 : of(size);
    for (let i = at; i < Math.min(size, at + 5); i++) key[4 + i] = of(4) ? of(3) : of(256);
    const max = 8 * size;
    const length =
      of(5) === 0 ? max : of(12) === 0 ? max + of(2) : of(4) ? Math.min(max, 8 * at + of(40)) : of(max + 1);
    key.set(u32(rnd(4) ? length : max));
    return key;
  };
}

/** BTF of an integer key (type 1) and a struct value (type 2) with these fields. @returns its fd. */
function loadBtf(spec: MapSpec, fields: readonly ValueField[]): number {
  let strings = "\0key\0value\0";
  const name = (text: string) => {
    strings += `${text}\0`;
    return strings.length - text.length - 1;
  };
  const KIND_INT = 1;
  const KIND_STRUCT = 4;
  const words = [1, KIND_INT << 24, spec.keySize, 8 * spec.keySize];
  words.push(5, (KIND_STRUCT << 24) | fields.length, spec.valueSize);
  fields.forEach((field, i) => {
    words.push(name(`field${i}`), 3 + i, 8 * field.offset);
  });
  for (const { kind } of fields) {
    const [struct, size] = FIELD_TYPES[kind as PlainField];
    words.push(name(struct), KIND_STRUCT << 24, size);
  }
  const head = [0x0001eb9f, 24, 0, 4 * words.length, 4 * words.length, strings.length];
  const data = Buffer.concat([
    Buffer.from(new Uint32Array([...head, ...words]).buffer),
    Buffer.from(strings, "latin1"),
  ]);
  const { fd, log } = btfLoad(new Uint8Array(data));
  if (fd < 0) throw new Error(`BTF: ${errnoName(fd)}: ${log}`);
  return fd;
}

/** lo of a namespace of our own, or a device that is not there; no program. */
function device(rnd: (below: number) => number, spec: MapSpec): Uint8Array {
  const v = new Uint8Array(spec.valueSize);
  v.set(u32([1, 1, 1, 0, 4711][rnd(5)]!));
  if (spec.valueSize > 4) v.set(u32([0, 0xffffffff, 0xffffffff][rnd(3)]!), 4);
  return v;
}

/** A cpumap entry's queue size. */
function queue(rnd: (below: number) => number, spec: MapSpec): Uint8Array {
  const v = new Uint8Array(spec.valueSize);
  v.set(u32([16, 192, 0, 16384, 16385][rnd(5)]!));
  return v;
}

function arrayKey(rnd: (below: number) => number, spec: MapSpec): Uint8Array {
  return rnd(30) ? u32(rnd(spec.maxEntries + 2)) : u32(0xffffffff);
}

beforeAll(() => {
  if (skip) return;
  // Devmaps name the devices of a namespace: ours has its own lo and nothing else. Vitest gives each file a process.
  const CLONE_NEWNET = 0x40000000;
  expect(syscall(NR.unshare, CLONE_NEWNET)).toBe(0);
  // An LRU keeps lists a CPU: stay on the one that ebplane's maps think they are on.
  const one = allocBlock(8);
  one.bytes[0] = 1;
  expect(syscall(NR.sched_setaffinity, 0, 8, one.address)).toBe(0);
});

const agreed = PLANS.filter(({ since }) => since === undefined || !kernelOlder(since));

test.skipIf(skip).each(agreed)("$title: the kernel and ebplane agree", (plan) => {
  for (let i = 0; i < RUNS; i++) run(plan, SEED + i);
});

const BATCHES: readonly (Partial<MapSpec> & { type: number; refs?: Plan["refs"]; rounds?: number })[] = [
  { type: T.BPF_MAP_TYPE_HASH, flags: ZERO_SEED },
  { type: T.BPF_MAP_TYPE_HASH, flags: ZERO_SEED | NO_PREALLOC, keySize: 5, valueSize: 3 },
  { type: T.BPF_MAP_TYPE_PERCPU_HASH, flags: ZERO_SEED, valueSize: 12 },
  { type: T.BPF_MAP_TYPE_LRU_HASH, flags: ZERO_SEED },
  { type: T.BPF_MAP_TYPE_LRU_PERCPU_HASH, flags: ZERO_SEED },
  { type: T.BPF_MAP_TYPE_LPM_TRIE, flags: NO_PREALLOC, keySize: 8 },
  { type: T.BPF_MAP_TYPE_ARRAY },
  { type: T.BPF_MAP_TYPE_PERCPU_ARRAY, valueSize: 4 },
  { type: T.BPF_MAP_TYPE_QUEUE, keySize: 0 },
  { type: T.BPF_MAP_TYPE_DEVMAP, valueSize: 4 },
  { type: T.BPF_MAP_TYPE_DEVMAP_HASH, valueSize: 4 },
  { type: T.BPF_MAP_TYPE_CPUMAP, valueSize: 4, maxEntries: 8 },
  { type: T.BPF_MAP_TYPE_BLOOM_FILTER, keySize: 0 },
  { type: T.BPF_MAP_TYPE_STACK_TRACE, valueSize: 80 },
  { type: T.BPF_MAP_TYPE_RINGBUF, keySize: 0, valueSize: 0, maxEntries: 4096 },
  { type: T.BPF_MAP_TYPE_USER_RINGBUF, keySize: 0, valueSize: 0, maxEntries: 4096 },
  { type: T.BPF_MAP_TYPE_ARENA, keySize: 0, valueSize: 0, maxEntries: 2, flags: 1024 },
  { type: T.BPF_MAP_TYPE_PROG_ARRAY, valueSize: 4, refs: programs },
  // The kernel waits for its readers at each change.
  { type: T.BPF_MAP_TYPE_ARRAY_OF_MAPS, valueSize: 4, refs: maps(T.BPF_MAP_TYPE_HASH), rounds: 15 },
  { type: T.BPF_MAP_TYPE_HASH_OF_MAPS, valueSize: 4, flags: ZERO_SEED, refs: maps(T.BPF_MAP_TYPE_HASH), rounds: 15 },
  { type: T.BPF_MAP_TYPE_SOCKMAP, refs: sockets },
  { type: T.BPF_MAP_TYPE_SOCKHASH, refs: sockets },
  { type: T.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, refs: reuseportSockets },
  { type: T.BPF_MAP_TYPE_XSKMAP, valueSize: 4, refs: xdpSockets },
  { type: T.BPF_MAP_TYPE_PERF_EVENT_ARRAY, valueSize: 4, refs: perfEvents },
  ...(CGROUP2 === undefined ? [] : [{ type: T.BPF_MAP_TYPE_CGROUP_ARRAY, valueSize: 4, refs: cgroupRefs }]),
];

test.skipIf(skip).each(BATCHES)(
  "batches on type $type flags $flags: the kernel and ebplane agree",
  ({ refs: make, rounds, ...over }) => {
    const host: MapHost = { netdev: (ifindex) => ifindex === 1 };
    const rt = createRuntime(new Memory(), { cpus: possibleCpus(), host });
    const refs = make?.(rt);
    Object.assign(host, refs?.host);
    const base: MapSpec = { name: "m", keySize: 4, valueSize: 8, maxEntries: 40, flags: 0, ...over, ...refs?.spec };
    try {
      compareBatches(rt, base, refs, rounds ?? 60);
    } finally {
      refs?.close();
    }
  },
);

function compareBatches(rt: MapRuntime, spec: MapSpec, refs: Refs | undefined, rounds: number): void {
  const rnd = generator(SEED);
  const indexed = /array|devmap$|cpumap|sockmap|xskmap|stack_trace/i.test(mapTypeName(spec.type));
  const lpm = spec.type === T.BPF_MAP_TYPE_LPM_TRIE;
  const someKey = () => (indexed ? arrayKey(rnd, spec) : lpm ? lpmKey(60)(rnd, spec) : randomKey(rnd, spec));
  const someValue = () => {
    if (refs) return new Uint8Array(spec.valueSize).fill(rnd(refs.values.length), 0, 1);
    return /devmap/.test(mapTypeName(spec.type)) ? device(rnd, spec) : randomValue(rnd, spec);
  };
  const log: string[] = [];
  for (const [kernel, ours] of pair(rt, spec, refs)) {
    const both = (what: string, act: (s: Subject) => BatchAnswer) => {
      const want = act(kernel);
      const got = act(ours);
      log.push(`${what} -> ${show(want)}`);
      if (show(got) !== show(want)) expect.fail(`seed ${SEED}: ours ${show(got)}\n${log.slice(-5).join("\n")}`);
      return want;
    };
    for (let round = 0; round < rounds; round++) {
      const n = rnd(30);
      const keys = join(Array.from({ length: n }, someKey));
      const values = join(Array.from({ length: n }, someValue));
      const dice = rnd(4);
      if (dice < 2) both(`update batch ${hex(keys)}`, (s) => s.batch(Cmd.MAP_UPDATE_BATCH, n, undefined, keys, values));
      else if (dice === 2) both(`delete batch ${hex(keys)}`, (s) => s.batch(Cmd.MAP_DELETE_BATCH, n, undefined, keys));
      else {
        const cmd = rnd(4) ? Cmd.MAP_LOOKUP_BATCH : Cmd.MAP_LOOKUP_AND_DELETE_BATCH;
        let cursor: Uint8Array | undefined;
        for (let part = 0; part < 60; part++) {
          const size = rnd(12);
          const from = cursor;
          const r = both(`${cmd} batch of ${size} from ${from && hex(from)}`, (s) => s.batch(cmd, size, from));
          if (r.answer !== "ok") break;
          cursor = r.cursor ?? cursor;
        }
      }
    }
  }
}

interface BatchAnswer {
  readonly answer: Answer;
  readonly count: number;
  readonly keys?: Uint8Array;
  readonly values?: Uint8Array;
  readonly cursor?: Uint8Array | undefined;
}

function show(b: BatchAnswer): string {
  return [b.answer, b.count, b.keys && hex(b.keys), b.values && hex(b.values), b.cursor && hex(b.cursor)].join(" ");
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

test.skipIf(skip)("creating maps: the kernel and ebplane agree on what is refused, and how", () => {
  const rnd = generator(SEED);
  const pick = <X>(xs: readonly X[]) => xs[rnd(xs.length)]!;
  const rt = createRuntime(new Memory(), { cpus: possibleCpus() });
  const others = [
    T.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
    T.BPF_MAP_TYPE_STACK_TRACE,
    T.BPF_MAP_TYPE_CGROUP_ARRAY,
    T.BPF_MAP_TYPE_XSKMAP,
  ];
  const more = [
    T.BPF_MAP_TYPE_CGROUP_STORAGE,
    T.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
    T.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
  ];
  const rings = [T.BPF_MAP_TYPE_RINGBUF, T.BPF_MAP_TYPE_USER_RINGBUF, T.BPF_MAP_TYPE_ARENA, T.BPF_MAP_TYPE_SK_STORAGE];
  const planned = PLANS.filter((p) => !/of_maps/.test(p.title)).map((p) => p.spec.type);
  const types = [...new Set([...planned, ...others, ...more, ...rings])];
  let refused = 0;
  for (let i = 0; i < 1500 * RUNS; i++) {
    const type = pick(types);
    const spec: MapSpec = {
      name: "m",
      type,
      keySize: pick([0, 1, 4, 4, 4, 5, 8, 8, 8, 12, 20, 260, 261, 512, 4000]),
      valueSize: pick([0, 1, 4, 4, 8, 8, 8, 16, 128, 32768, 32769]),
      maxEntries: pick([0, 1, 2, 3, 7, 64, 4096]),
      flags: rnd(3) ? pick([0, 1]) : 1 << rnd(15),
      mapExtra: rnd(20) ? 0n : BigInt(rnd(18)),
    };
    // A NUMA node number is not part of a MapSpec.
    if (spec.flags & 4) continue;
    for (const [kernel] of pair(rt, spec)) void kernel;
    refused++;
  }
  expect(refused).toBeGreaterThan(500);
  expect(Errno.ENOTSUPP).toBe(524);
});
