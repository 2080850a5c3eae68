/**
 * The one linear memory of a machine, and who owns which part of it: allocation with reuse, views that follow growth,
 * and a registry of live objects that a guarded engine asks before it lets an access through.
 *
 * Addresses are 32-bit byte offsets. The first 64 KiB are never handed out, so a NULL pointer plus a field offset is
 * recognisable. The allocator keeps its own state inside the memory (a boundary-tag allocator with segregated free
 * lists), so that workers that share the memory share the heap, and a copy of the bytes is a whole snapshot of it.
 */

/** Lowest address that `alloc` can return, minus the allocator's own state. */
export const NULL_GUARD = 0x10000;
export const WASM_PAGE = 0x10000;

export interface MemoryOptions {
  /** Bytes there at once. Default 1 MiB. */
  readonly initial?: number;
  /** Bytes it may grow to. Default 4 GiB; a shared memory defaults to 1 GiB. */
  readonly maximum?: number;
  /** A SharedArrayBuffer behind it, for one instance a worker. */
  readonly shared?: boolean;
}

/**
 * A live object: the addresses from `start` up to, not including, `end`. With `slots` only the first `size` bytes of
 * every `stride` bytes from `start` on are its own (values inside the elements of a map): an access must lie in one slot.
 */
export interface Region {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly writable: boolean;
  readonly slots?: { readonly stride: number; readonly size: number };
}

// The allocator's state, 32-bit words from NULL_GUARD on.
const LOCK = NULL_GUARD / 4;
const TOP = LOCK + 1; // address after the last block
const HIGH = LOCK + 2; // highest TOP ever: everything from here on is still zero
const READY = LOCK + 3;
const BINS = LOCK + 8; // heads of 64 free lists, by size class
const BIN_COUNT = 64;
const FIRST_BLOCK = NULL_GUARD + 1024;

// A block is a 16-byte head and its payload; sizes count both and are multiples of 16.
// head: size | USED, size of the block before it, (free only) next free, previous free.
const HEAD = 16;
const USED = 1;
const MIN_BLOCK = 32;
const MAX_BYTES = 2 ** 32 - WASM_PAGE;

/** Memory with an allocator. Views (`u8`, `view`, `i32`) are replaced when the memory grows: do not keep them over an `alloc`. */
export class Memory {
  readonly wasm: WebAssembly.Memory;
  readonly shared: boolean;
  readonly maximum: number;
  u8!: Uint8Array;
  i32!: Int32Array;
  u32!: Uint32Array;
  view!: DataView;
  #regions: Region[] = [];
  #last: Region | undefined;

  /** @param wasm an existing shared memory to join (from another worker); a new one otherwise. */
  constructor(options: MemoryOptions = {}, wasm?: WebAssembly.Memory) {
    this.shared = options.shared ?? false;
    this.maximum = Math.min(options.maximum ?? (this.shared ? 2 ** 30 : MAX_BYTES), MAX_BYTES);
    const initial = Math.max(options.initial ?? 1 << 20, FIRST_BLOCK + WASM_PAGE);
    if (initial > this.maximum) throw new RangeError(`memory: initial ${initial} bytes is more than ${this.maximum}`);
    this.wasm =
      wasm ??
      new WebAssembly.Memory({
        initial: Math.ceil(initial / WASM_PAGE),
        maximum: Math.ceil(this.maximum / WASM_PAGE),
        shared: this.shared,
      });
    this.refresh();
    this.#lock();
    if (!this.i32[READY]) {
      this.u32[TOP] = FIRST_BLOCK;
      this.u32[HIGH] = FIRST_BLOCK;
      this.u32[READY] = 1;
    }
    this.#unlock();
  }

  /** Makes the views match the memory's present size; needed only after another worker let it grow. */
  refresh(): void {
    const buffer = this.wasm.buffer;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Bytes of the memory now. */
  get size(): number {
    return this.u8.length;
  }

  /**
   * The address of `size` zeroed bytes, a multiple of `align` (a power of two, at least 16 is had anyway).
   * @throws RangeError when the memory is at its maximum: see `tryAlloc`.
   */
  alloc(size: number, align = 16): number {
    const address = this.tryAlloc(size, align);
    if (!address) throw new RangeError(`memory: no room for ${size} bytes, have at most ${this.maximum}`);
    return address;
  }

  /** `alloc`, but 0 when there is no room. Never throws: wasm calls it. */
  tryAlloc(size: number, align = 16): number {
    if (!(size >= 0 && size <= this.maximum)) return 0;
    const need = Math.max(MIN_BLOCK, Math.ceil(size / 16) * 16 + HEAD);
    // A block large enough holds an aligned payload with a whole free block before it.
    const want = align > 16 ? need + align + MIN_BLOCK : need;
    this.#lock();
    const high = this.u32[HIGH]!;
    try {
      let block = this.#take(want);
      if (!block) return 0;
      if (align > 16) block = this.#alignBlock(block, align);
      this.#shrink(block, need);
      const payload = block + HEAD;
      // Only what was used before needs clearing.
      const dirty = Math.min(payload + size, high);
      if (dirty > payload) this.u8.fill(0, payload, dirty);
      return payload;
    } finally {
      this.#unlock();
    }
  }

  /** Gives back what `alloc` returned. @throws RangeError for any other address. */
  free(address: number): void {
    this.#lock();
    try {
      let block = address - HEAD;
      const word = block >= FIRST_BLOCK && block < this.u32[TOP]! && block % 16 === 0 ? this.u32[block >>> 2]! : 0;
      if (!(word & USED)) throw new RangeError(`free: 0x${address.toString(16)} is not an allocated address`);
      let size = this.#size(block);
      const before = this.u32[(block >>> 2) + 1]!;
      if (before && !(this.u32[(block - before) >>> 2]! & USED)) {
        this.#unlink(block - before);
        block -= before;
        size += before;
      }
      const next = block + size;
      if (next < this.u32[TOP]! && !(this.u32[next >>> 2]! & USED)) {
        const nextSize = this.#size(next);
        this.#unlink(next);
        size += nextSize;
      }
      this.#release(block, size);
    } finally {
      this.#unlock();
    }
  }

  /** Announces a live object; the returned function withdraws it. @throws RangeError when it overlaps another one. */
  addRegion(region: Region): () => void {
    const at = this.#after(region.start);
    const before = this.#regions[at - 1];
    const next = this.#regions[at];
    if (region.end < region.start || (before && before.end > region.start) || (next && next.start < region.end)) {
      throw new RangeError(
        `region ${region.name}: overlaps ${(before && before.end > region.start ? before : next)?.name}`,
      );
    }
    this.#regions.splice(at, 0, region);
    return () => {
      const i = this.#regions.indexOf(region);
      if (i >= 0) this.#regions.splice(i, 1);
      if (this.#last === region) this.#last = undefined;
    };
  }

  /** The live object that `address` lies in, if any. */
  regionAt(address: number): Region | undefined {
    const last = this.#last;
    if (last && address >= last.start && address < last.end) return last;
    const region = this.#regions[this.#after(address) - 1];
    if (!region || address >= region.end) return undefined;
    this.#last = region;
    return region;
  }

  /** True when all `size` bytes at `address` belong to one live object (one slot of it) that allows the access. */
  allows(address: number, size: number, write: boolean): boolean {
    const region = this.regionAt(address);
    if (!region || address + size > region.end || (write && !region.writable)) return false;
    if (!region.slots) return true;
    return ((address - region.start) % region.slots.stride) + size <= region.slots.size;
  }

  /** All live objects, by address. */
  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** Index of the first region that starts after `address`. */
  #after(address: number): number {
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.#regions[mid]!.start <= address) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  #size(block: number): number {
    return (this.u32[block >>> 2]! & ~15) >>> 0;
  }

  /** Writes a block's size, and into the block after it what it needs for merging. */
  #setSize(block: number, size: number, used: number): void {
    this.u32[block >>> 2] = size | used;
    const next = block + size;
    if (next < this.u32[TOP]!) this.u32[(next >>> 2) + 1] = size;
  }

  /** A used block of at least `want` bytes, or 0. */
  #take(want: number): number {
    for (let bin = binOf(want); bin < BIN_COUNT; bin++) {
      for (let block = this.u32[BINS + bin]!; block; block = this.u32[(block >>> 2) + 2]!) {
        const size = this.#size(block);
        if (size < want) continue;
        this.#unlink(block);
        this.#setSize(block, size, USED);
        return block;
      }
    }
    return this.#extend(want);
  }

  /** A used block carved from the untouched end of the memory, which grows if it must. */
  #extend(want: number): number {
    const block = this.u32[TOP]!;
    const end = block + want;
    if (end > this.u8.length) this.refresh();
    if (end > this.u8.length) {
      if (end > this.maximum) return 0;
      const more = Math.max(end - this.u8.length, Math.min(this.u8.length >>> 2, this.maximum - this.u8.length));
      try {
        this.wasm.grow(Math.ceil(more / WASM_PAGE));
      } catch {
        try {
          this.wasm.grow(Math.ceil((end - this.u8.length) / WASM_PAGE));
        } catch {
          return 0;
        }
      }
      this.refresh();
    }
    this.u32[(block >>> 2) + 1] = this.#lastSize(block);
    this.u32[TOP] = end;
    if (end > this.u32[HIGH]!) this.u32[HIGH] = end;
    this.u32[block >>> 2] = want | USED;
    return block;
  }

  /** Size of the block that ends at the top; kept in the word that the next block's head will occupy. */
  #lastSize(top: number): number {
    return top === FIRST_BLOCK ? 0 : this.u32[BINS + BIN_COUNT]!;
  }

  /** Splits so that the payload is aligned; the part before becomes free. */
  #alignBlock(block: number, align: number): number {
    const payload = block + HEAD;
    if (payload % align === 0) return block;
    let aligned = Math.ceil(payload / align) * align;
    if (aligned - payload < MIN_BLOCK) aligned += align;
    const lead = aligned - payload;
    const size = this.#size(block);
    const rest = block + lead;
    this.u32[(rest >>> 2) + 1] = lead;
    this.#setSize(rest, size - lead, USED);
    this.#noteLast(rest, size - lead);
    this.#release(block, lead);
    return rest;
  }

  /** Gives back what a used block has beyond `need` bytes. */
  #shrink(block: number, need: number): void {
    const size = this.#size(block);
    this.#noteLast(block, size);
    if (size - need < MIN_BLOCK) return;
    const rest = block + need;
    this.#setSize(block, need, USED);
    this.u32[(rest >>> 2) + 1] = need;
    const next = rest + size - need;
    let restSize = size - need;
    if (next < this.u32[TOP]! && !(this.u32[next >>> 2]! & USED)) {
      restSize += this.#size(next);
      this.#unlink(next);
    }
    this.#release(rest, restSize);
  }

  /** Files a free block, or lets the top sink over it. Its neighbours are used. */
  #release(block: number, size: number): void {
    if (block + size === this.u32[TOP]!) {
      const before = this.u32[(block >>> 2) + 1]!;
      this.u32[TOP] = block;
      this.u32[BINS + BIN_COUNT] = before;
      return;
    }
    this.#setSize(block, size, 0);
    const bin = BINS + binOf(size);
    const head = this.u32[bin]!;
    this.u32[(block >>> 2) + 2] = head;
    this.u32[(block >>> 2) + 3] = 0;
    if (head) this.u32[(head >>> 2) + 3] = block;
    this.u32[bin] = block;
  }

  #noteLast(block: number, size: number): void {
    if (block + size === this.u32[TOP]!) this.u32[BINS + BIN_COUNT] = size;
  }

  #unlink(block: number): void {
    const next = this.u32[(block >>> 2) + 2]!;
    const previous = this.u32[(block >>> 2) + 3]!;
    if (next) this.u32[(next >>> 2) + 3] = previous;
    if (previous) this.u32[(previous >>> 2) + 2] = next;
    else this.u32[BINS + binOf(this.#size(block))] = next;
  }

  #lock(): void {
    if (!this.shared) return;
    // A spin: the holder never waits, and a browser's main thread may not sleep.
    while (Atomics.compareExchange(this.i32, LOCK, 0, 1) !== 0);
  }

  #unlock(): void {
    if (this.shared) Atomics.store(this.i32, LOCK, 0);
  }
}

/** Size class of a block: two classes an octave, so a class wastes at most half in the search for a fit. */
function binOf(size: number): number {
  const log = 31 - Math.clz32(size);
  return Math.min(BIN_COUNT - 1, log * 2 + ((size >>> (log - 1)) & 1));
}
