/**
 * arena: up to 4 GiB of pages that programs allocate and that userspace maps. Addresses that programs exchange are user
 * addresses (from `userStart` on); the machine's casts turn them into wasm addresses by their low 32 bits. Here the
 * whole range is reserved at creation. Source: kernel/bpf/arena.c.
 */
import { Errno } from "../errors/index.ts";
import {
  ARENA_PAGE,
  BPF_F_MMAPABLE,
  BPF_F_SEGV_ON_FAULT,
  checkArenaRange,
  type MapSpec,
  MapType,
} from "../object/index.ts";
import * as L from "./layout.ts";
import { checkCommon, MapBase, type MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

const BPF_F_NO_USER_CONV = 1 << 18;
/** Where a user range starts that the spec does not place. */
const DEFAULT_START = 0x1_0000_0000n;

/** arena_map_alloc. */
function check(spec: MapSpec): number {
  const common = checkCommon(spec, true);
  if (common) return common;
  const allowed = BPF_F_MMAPABLE | BPF_F_SEGV_ON_FAULT | BPF_F_NO_USER_CONV;
  const start = spec.mapExtra ?? 0n;
  if (spec.keySize || spec.valueSize || spec.maxEntries === 0) return Errno.EINVAL;
  if (!(spec.flags & BPF_F_MMAPABLE) || spec.flags & ~allowed || start & BigInt(ARENA_PAGE - 1)) return Errno.EINVAL;
  const bytes = BigInt(spec.maxEntries) * BigInt(ARENA_PAGE);
  if (bytes > 1n << 32n) return Errno.E2BIG;
  return start >> 32n !== (start + bytes - 1n) >> 32n ? Errno.ERANGE : 0;
}

export class ArenaMap extends MapBase {
  /** Wasm address of the first page. */
  readonly base: number;
  /** User address of the first page. */
  readonly userStart: bigint;
  readonly #used: Uint8Array;
  readonly #withdraw = new Map<number, () => void>();

  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    this.base = this.own(spec.maxEntries * ARENA_PAGE, ARENA_PAGE);
    this.userStart = spec.mapExtra || DEFAULT_START;
    this.#used = new Uint8Array(spec.maxEntries);
    this.set(L.MAP_VALUES, this.base);
  }

  /** bpf_arena_alloc_pages: the user address of `count` zeroed pages in a row (at `at` unless 0), or 0. */
  allocPages(at: bigint, count: number): bigint {
    this.alive();
    const first = at ? this.#page(at) : this.#gap(count);
    if (first === undefined || count < 1 || first + count > this.#used.length) return 0n;
    if (this.#used.subarray(first, first + count).some((u) => u)) return 0n;
    this.#open(first, count);
    return this.userStart + BigInt(first * ARENA_PAGE);
  }

  #open(first: number, count: number): void {
    this.#used.fill(1, first, first + count);
    const start = this.base + first * ARENA_PAGE;
    this.rt.memory.u8.fill(0, start, start + count * ARENA_PAGE);
    for (let page = first; page < first + count; page++) {
      const at = this.base + page * ARENA_PAGE;
      const region = { name: `map ${this.spec.name}`, start: at, end: at + ARENA_PAGE, writable: true };
      this.#withdraw.set(page, this.rt.memory.addRegion(region));
    }
  }

  /** bpf_arena_free_pages: what is not allocated is passed over. */
  freePages(at: bigint, count: number): void {
    this.alive();
    const first = this.#page(at);
    if (first === undefined) return;
    for (let page = first; page < Math.min(first + count, this.#used.length); page++) {
      this.#used[page] = 0;
      this.#withdraw.get(page)?.();
      this.#withdraw.delete(page);
    }
  }

  /**
   * What userspace reads through its mapping, from byte `offset` of the arena on. As there, a page that nobody has
   * allocated comes to be, with zeros, by being touched. @throws RangeError past the end, and with
   * `BPF_F_SEGV_ON_FAULT` for such a page.
   */
  readBytes(offset: number, length: number): Uint8Array {
    const at = this.#touch(offset, length);
    return this.rt.memory.u8.slice(at, at + length);
  }

  /** Writes as userspace does, see `readBytes`. */
  writeBytes(offset: number, bytes: Uint8Array): void {
    this.rt.memory.u8.set(bytes, this.#touch(offset, bytes.length));
  }

  #touch(offset: number, length: number): number {
    this.alive();
    checkArenaRange(this.spec, offset, length);
    for (let page = Math.floor(offset / ARENA_PAGE); page * ARENA_PAGE < offset + length; page++) {
      if (this.#used[page]) continue;
      if (this.spec.flags & BPF_F_SEGV_ON_FAULT)
        throw new RangeError(`arena ${this.spec.name}: page ${page} is not allocated`);
      this.#open(page, 1);
    }
    return this.base + offset;
  }

  /** arena_map_direct_value_addr. */
  override valueAddr(offset: number): number {
    if (!(offset >= 0 && offset <= this.#used.length * ARENA_PAGE))
      this.fail("BPF_PROG_LOAD", Errno.ERANGE, `offset ${offset}`);
    return this.base + offset;
  }

  /** Wasm address of a user address, by its low 32 bits as the kernel's casts; 0 outside the arena. */
  wasmAddress(user: bigint): number {
    const offset = Number(BigInt.asUintN(32, user - this.userStart));
    return offset < this.#used.length * ARENA_PAGE ? this.base + offset : 0;
  }

  #page(user: bigint): number | undefined {
    const offset = user - this.userStart;
    if (offset < 0n || offset & BigInt(ARENA_PAGE - 1) || offset >= BigInt(this.#used.length * ARENA_PAGE))
      return undefined;
    return Number(offset) / ARENA_PAGE;
  }

  #gap(count: number): number | undefined {
    let run = 0;
    for (let page = 0; page < this.#used.length; page++) {
      run = this.#used[page] ? 0 : run + 1;
      if (run === count) return page - count + 1;
    }
    return undefined;
  }

  override lookup(): undefined {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    return this.fail("BPF_MAP_LOOKUP_ELEM", Errno.EINVAL);
  }

  updateAt(): number {
    return -Errno.EOPNOTSUPP;
  }

  deleteAt(): number {
    return -Errno.EOPNOTSUPP;
  }

  protected nextKeyAt(): number {
    return -Errno.EOPNOTSUPP;
  }

  // biome-ignore lint/correctness/useYield: an arena has pages, not elements.
  *entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    this.readable("BPF_MAP_GET_NEXT_KEY");
  }

  protected override release(): void {
    for (const withdraw of this.#withdraw.values()) withdraw();
    this.#withdraw.clear();
  }
}

export const arenaKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_ARENA,
  check,
  create: (rt, spec) => new ArenaMap(rt, spec),
};
