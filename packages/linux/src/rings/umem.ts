/**
 * The memory of AF_XDP sockets: frames of one size that kernel and process hand to each other by address. Several
 * sockets may share one. The region never leaves this package: only views of frames do, for the length of a callback.
 * Source: Documentation/networking/af_xdp.rst, include/uapi/linux/if_xdp.h.
 */
import { mapAnonymous, type Region, releaseRegion } from "../mem/index.ts";
import { NR, syscall } from "../sys/index.ts";

const MADV_HUGEPAGE = 14;

export class Umem {
  readonly frameSize: number;
  readonly frames: number;
  readonly region: Region;
  readonly bytes: Uint8Array;
  /** Offsets of free frames: a stack. */
  readonly #free: Uint32Array;
  #top: number;
  #open = true;

  /** @throws RangeError unless `frameSize` is 2048 or 4096: what the kernel takes on 4 KiB pages. */
  constructor(frames: number, frameSize: number) {
    if (frameSize !== 2048 && frameSize !== 4096) {
      throw new RangeError(`frame size: expected 2048 or 4096, got ${frameSize}`);
    }
    this.frames = frames;
    this.frameSize = frameSize;
    this.region = mapAnonymous(frames * frameSize);
    // Thousands of frames a round are as many pages: large ones where the kernel gives them. A wish, no need.
    syscall(NR.madvise, this.region.address, this.region.length, MADV_HUGEPAGE);
    this.bytes = new Uint8Array(this.region.buffer);
    this.#free = Uint32Array.from({ length: frames }, (_, i) => (frames - 1 - i) * frameSize);
    this.#top = frames;
  }

  get available(): number {
    return this.#top;
  }

  /** The offset of a frame nobody uses, or -1. */
  take(): number {
    return this.#top === 0 ? -1 : this.#free[--this.#top]!;
  }

  /** Gives a frame back by any offset inside it. */
  give(offset: number): void {
    this.#free[this.#top++] = offset - (offset % this.frameSize);
  }

  /** After the last socket on it is closed. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    releaseRegion(this.region);
  }
}
