/**
 * One AF_XDP socket: four rings between kernel and process (fill and completion for frames, rx and tx for packets),
 * bound to one queue of one device. The XDP program that redirects to it is the port's: see xsk-port.ts.
 * Source: Documentation/networking/af_xdp.rst, include/uapi/linux/if_xdp.h, net/xdp/xsk.c.
 */
import { FrameCopier } from "@ebplane/core/bytes";
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import { mapFd, type Region, releaseRegion, scratch, setPointer } from "../mem/index.ts";
import {
  check,
  close,
  kernelOlder,
  MAP_POPULATE,
  MAP_SHARED,
  NR,
  PROT_READ,
  PROT_WRITE,
  sleep,
  syscall,
} from "../sys/index.ts";
import type { Umem } from "./umem.ts";

const AF_XDP = 44;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_XDP = 283;
const XDP_MMAP_OFFSETS = 1;
const XDP_RX_RING = 2;
const XDP_TX_RING = 3;
const XDP_UMEM_REG = 4;
const XDP_UMEM_FILL_RING = 5;
const XDP_UMEM_COMPLETION_RING = 6;
const XDP_STATISTICS = 7;
const XDP_OPTIONS = 8;
const XDP_MAX_TX_SKB_BUDGET = 9;

const XDP_SHARED_UMEM = 1 << 0;
const XDP_COPY = 1 << 1;
const XDP_ZEROCOPY = 1 << 2;
const XDP_USE_NEED_WAKEUP = 1 << 3;
const XDP_USE_SG = 1 << 4;
const XDP_RING_NEED_WAKEUP = 1;
const XDP_OPTIONS_ZEROCOPY = 1;
/** In a descriptor: the packet goes on in the next one. */
const XDP_PKT_CONTD = 1;

const PGOFF = { rx: 0, tx: 0x8000_0000, fill: 0x1_0000_0000, completion: 0x1_8000_0000 } as const;
const MSG_DONTWAIT = 0x40;

const SOL_SOCKET = 1;
const SO_BUSY_POLL = 46;
const SO_PREFER_BUSY_POLL = 69;
const SO_BUSY_POLL_BUDGET = 70;

/** Milliseconds that a bind waits for the queue's former socket to be freed. */
const RELEASE_WAIT = 300;
const RELEASE_STEP = 5;

interface Ring {
  readonly region: Region;
  readonly producer: Uint32Array;
  readonly consumer: Uint32Array;
  readonly flags: Uint32Array;
  /** Descriptors as words: 4 of rx and tx (address low and high, length, options), 2 of fill and completion. */
  readonly words: Uint32Array;
  readonly size: number;
  readonly mask: number;
}

export interface XskOptions {
  readonly ifindex: number;
  readonly queue: number;
  /** Descriptors of each ring, a power of two. */
  readonly ringSize: number;
  readonly copy: "auto" | "copy" | "zerocopy";
  /** Packets of several frames. */
  readonly multiBuffer: boolean;
  /** Another socket on the same umem, for all but the first. */
  readonly shared?: XskSocket;
  /** Microseconds that the kernel polls for; 0 without. */
  readonly busyPoll: number;
}

export interface XskStats {
  readonly rxDropped: bigint;
  readonly rxInvalid: bigint;
  readonly txInvalid: bigint;
  readonly rxRingFull: bigint;
  readonly fillRingEmpty: bigint;
  readonly txRingEmpty: bigint;
}

export class XskSocket {
  readonly umem: Umem;
  readonly fd: number;
  readonly #rx: Ring;
  readonly #tx: Ring;
  readonly #fill: Ring;
  readonly #completion: Ring;
  readonly #regions: Region[] = [];
  /** Own copies of the ends that only we move. */
  #rxConsumer = 0;
  #txProducer = 0;
  #fillProducer = 0;
  #completionConsumer = 0;
  readonly #copier = new FrameCopier();
  #gather = new Uint8Array(0);
  #open = true;
  readonly #zerocopy: boolean;

  /** Opens and binds in the calling thread's network namespace. @throws SysError EBUSY for a queue that is taken. */
  constructor(umem: Umem, options: XskOptions) {
    this.umem = umem;
    this.fd = check("socket(AF_XDP)", syscall(NR.socket, AF_XDP, SOCK_RAW_CLOEXEC, 0));
    try {
      if (!options.shared) this.#register();
      if (options.busyPoll > 0) this.#busyPoll(options.busyPoll);
      for (const ring of [XDP_RX_RING, XDP_TX_RING, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING]) {
        this.#option(SOL_XDP, ring, options.ringSize);
      }
      const [rx, tx, fill, completion] = this.#offsets();
      this.#rx = this.#map(rx!, options.ringSize, 4, PGOFF.rx);
      this.#tx = this.#map(tx!, options.ringSize, 4, PGOFF.tx);
      this.#fill = this.#map(fill!, options.ringSize, 2, PGOFF.fill);
      this.#completion = this.#map(completion!, options.ringSize, 2, PGOFF.completion);
      this.#bind(options);
      this.#zerocopy = this.#isZerocopy();
      this.#sendInLargeParts(options.ringSize);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #register(): void {
    const { region, frames, frameSize } = this.umem;
    scratch((memory) => {
      const reg = memory.take(24); // struct xdp_umem_reg without its later fields
      setPointer(reg.view, 0, region.address);
      setPointer(reg.view, 8, frames * frameSize);
      reg.view.setUint32(16, frameSize, true);
      const result = syscall(NR.setsockopt, this.fd, SOL_XDP, XDP_UMEM_REG, reg.address, 24);
      check("setsockopt(XDP_UMEM_REG)", result, `${frames} frames of ${frameSize} bytes`);
    });
  }

  #busyPoll(microseconds: number): void {
    try {
      this.#option(SOL_SOCKET, SO_PREFER_BUSY_POLL, 1);
    } catch (error) {
      if (!(error instanceof SysError) || error.errno !== Errno.ENOPROTOOPT) throw error;
      throw new UnsupportedError("AF_XDP busy polling", "AF_XDP: this kernel's sockets do not poll busily", "5.11");
    }
    this.#option(SOL_SOCKET, SO_BUSY_POLL, microseconds);
    this.#option(SOL_SOCKET, SO_BUSY_POLL_BUDGET, 64);
  }

  /** In copy mode a call sends 32 frames; since 6.17 as many as are asked for. Older kernels do without. */
  #sendInLargeParts(frames: number): void {
    scratch((memory) => {
      const word = memory.take(4);
      word.view.setUint32(0, frames, true);
      syscall(NR.setsockopt, this.fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, word.address, 4);
    });
  }

  #option(level: number, option: number, value: number): void {
    scratch((memory) => {
      const word = memory.take(4);
      word.view.setUint32(0, value, true);
      check(
        `setsockopt(${option})`,
        syscall(NR.setsockopt, this.fd, level, option, word.address, 4),
        `AF_XDP ${value}`,
      );
    });
  }

  /** Where each ring keeps its ends and descriptors: rx, tx, fill, completion. */
  #offsets(): { producer: number; consumer: number; desc: number; flags: number }[] {
    return scratch((memory) => {
      const out = memory.take(128);
      const length = memory.take(4);
      length.view.setUint32(0, 128, true);
      const result = syscall(NR.getsockopt, this.fd, SOL_XDP, XDP_MMAP_OFFSETS, out.address, length.address);
      check("getsockopt(XDP_MMAP_OFFSETS)", result);
      const field = (i: number): number => Number(out.view.getBigUint64(i * 8, true));
      return [0, 4, 8, 12].map((i) => ({
        producer: field(i),
        consumer: field(i + 1),
        desc: field(i + 2),
        flags: field(i + 3),
      }));
    });
  }

  #map(
    at: { producer: number; consumer: number; desc: number; flags: number },
    size: number,
    wordsEach: number,
    offset: number,
  ): Ring {
    const length = at.desc + size * wordsEach * 4;
    const region = mapFd(this.fd, length, offset, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE);
    this.#regions.push(region);
    return {
      region,
      producer: new Uint32Array(region.buffer, at.producer, 1),
      consumer: new Uint32Array(region.buffer, at.consumer, 1),
      flags: new Uint32Array(region.buffer, at.flags, 1),
      words: new Uint32Array(region.buffer, at.desc, size * wordsEach),
      size,
      mask: size - 1,
    };
  }

  #bind(options: XskOptions): void {
    const mode = { auto: 0, copy: XDP_COPY, zerocopy: XDP_ZEROCOPY }[options.copy];
    scratch((memory) => {
      const address = memory.take(16); // struct sockaddr_xdp
      address.view.setUint16(0, AF_XDP, true);
      // With a shared umem the flags are those of the first socket.
      const flags = options.shared
        ? XDP_SHARED_UMEM
        : mode | XDP_USE_NEED_WAKEUP | (options.multiBuffer ? XDP_USE_SG : 0);
      address.view.setUint16(2, flags, true);
      address.view.setUint32(4, options.ifindex, true);
      address.view.setUint32(8, options.queue, true);
      address.view.setUint32(12, options.shared?.fd ?? 0, true);
      const what = `AF_XDP queue ${options.queue} of interface ${options.ifindex}`;
      let result = syscall(NR.bind, this.fd, address.address, 16);
      // A queue that was just given up is freed by a kernel thread a grace period later.
      for (let wait = 0; result === -Errno.EBUSY && wait < RELEASE_WAIT; wait += RELEASE_STEP) {
        sleep(RELEASE_STEP);
        result = syscall(NR.bind, this.fd, address.address, 16);
      }
      const words: Record<number, string> = {
        [Errno.EBUSY]: "another socket has this queue",
        [Errno.EOPNOTSUPP]: `the driver has no ${options.copy} mode`,
        [Errno.EINVAL]: "no such queue",
      };
      if (result === -Errno.EINVAL && options.multiBuffer && kernelOlder("6.6")) {
        throw new UnsupportedError(
          "AF_XDP multi-buffer",
          `${what}: this kernel gives a packet in one buffer only`,
          "6.6",
        );
      }
      check("bind", result, words[-result] ? `${what}: ${words[-result]}` : what);
    });
  }

  /** Whether packets come without a copy. */
  get zerocopy(): boolean {
    return this.#zerocopy;
  }

  #isZerocopy(): boolean {
    return scratch((memory) => {
      const out = memory.take(4);
      const length = memory.take(4);
      length.view.setUint32(0, 4, true);
      const result = syscall(NR.getsockopt, this.fd, SOL_XDP, XDP_OPTIONS, out.address, length.address);
      return result === 0 && (out.view.getUint32(0, true) & XDP_OPTIONS_ZEROCOPY) !== 0;
    });
  }

  /** Gives the kernel up to `count` frames to receive into. */
  fill(count: number): void {
    const { words, mask, size, producer, consumer } = this.#fill;
    const room = size - ((this.#fillProducer - Atomics.load(consumer, 0)) >>> 0);
    let n = Math.min(room, count);
    while (n-- > 0) {
      const frame = this.umem.take();
      if (frame < 0) break;
      const at = (this.#fillProducer & mask) * 2;
      words[at] = frame;
      words[at + 1] = 0;
      this.#fillProducer = (this.#fillProducer + 1) >>> 0;
    }
    Atomics.store(producer, 0, this.#fillProducer);
    this.#wakeReceiver();
  }

  /** In copy mode the flag is never set. */
  #wakeReceiver(): void {
    if (this.#fill.flags[0]! & XDP_RING_NEED_WAKEUP) syscall(NR.recvfrom, this.fd, 0, 0, MSG_DONTWAIT);
  }

  /** As `PacketPort.receive`. The frames go back to the kernel when `sink` has seen them. */
  receive(sink: (memory: Uint8Array, at: number, length: number) => void, max: number): number {
    const { words, mask, producer, consumer } = this.#rx;
    const { umem } = this;
    const waiting = (Atomics.load(producer, 0) - this.#rxConsumer) >>> 0;
    let packets = 0;
    let taken = 0;
    // Never negative: asking keeps the reads from being left out.
    if (this.#touch(Math.min(waiting, max)) < 0) return 0;
    try {
      while (taken < waiting && packets < max) {
        const at = ((this.#rxConsumer + taken) & mask) * 4;
        if (words[at + 3]! & XDP_PKT_CONTD) {
          const parts = this.#assemble(taken, waiting, sink);
          if (parts === 0) break; // Its end has not come yet.
          taken += parts;
        } else {
          taken++;
          const address = words[at]!;
          sink(umem.bytes, address, words[at + 2]!);
          umem.give(address);
        }
        packets++;
      }
      return packets;
    } finally {
      // A driver that found no frame to receive into waits to be told of more, of which it may just have missed some.
      if (waiting === 0) this.#wakeReceiver();
      if (taken > 0 && this.#open) {
        this.#rxConsumer = (this.#rxConsumer + taken) >>> 0;
        Atomics.store(consumer, 0, this.#rxConsumer);
        this.fill(taken);
      }
    }
  }

  /**
   * Reads a byte of each frame that comes next. Another CPU wrote them, so each is a miss of the cache; one after the other
   * in a tight loop the processor waits for many of them at once, between two runs of a program for one.
   */
  #touch(count: number): number {
    const { words, mask } = this.#rx;
    const { bytes } = this.umem;
    let sum = 0;
    for (let i = 0; i < count; i++) sum ^= bytes[words[((this.#rxConsumer + i) & mask) * 4]!]!;
    return sum;
  }

  /** A packet of several frames, put together. @returns the descriptors it took, 0 when it is not all there. */
  #assemble(first: number, waiting: number, sink: (memory: Uint8Array, at: number, length: number) => void): number {
    const { words, mask } = this.#rx;
    const { umem } = this;
    const word = (i: number, field: number): number => words[((this.#rxConsumer + i) & mask) * 4 + field]!;
    let end = first;
    let total = 0;
    for (let more = true; more; end++) {
      if (end >= waiting) return 0;
      total += word(end, 2);
      more = (word(end, 3) & XDP_PKT_CONTD) !== 0;
    }
    if (this.#gather.length < total) this.#gather = new Uint8Array(total);
    let to = 0;
    for (let i = first; i < end; i++) {
      const address = word(i, 0);
      const length = word(i, 2);
      this.#gather.set(umem.bytes.subarray(address, address + length), to);
      to += length;
      umem.give(address);
    }
    sink(this.#gather, 0, total);
    return end - first;
  }

  /** As `PacketPort.send`. */
  send(memory: Uint8Array, at: number, length: number): boolean {
    const { words, mask, size, consumer } = this.#tx;
    const { umem } = this;
    const parts = Math.max(1, Math.ceil(length / umem.frameSize));
    if (umem.available < parts || size - ((this.#txProducer - Atomics.load(consumer, 0)) >>> 0) < parts) {
      this.#reap();
      if (umem.available < parts || size - ((this.#txProducer - Atomics.load(consumer, 0)) >>> 0) < parts) return false;
    }
    for (let done = 0, part = 0; part < parts; part++) {
      const n = Math.min(umem.frameSize, length - done);
      const frame = umem.take();
      this.#copier.copy(umem.bytes, frame, memory, at + done, n);
      const desc = (this.#txProducer & mask) * 4;
      words[desc] = frame;
      words[desc + 1] = 0;
      words[desc + 2] = n;
      words[desc + 3] = part + 1 < parts ? XDP_PKT_CONTD : 0;
      this.#txProducer = (this.#txProducer + 1) >>> 0;
      done += n;
    }
    return true;
  }

  flush(): void {
    const { producer, consumer, flags } = this.#tx;
    Atomics.store(producer, 0, this.#txProducer);
    // In copy mode each call sends only so many descriptors; it says EAGAIN while there are more.
    while (Atomics.load(consumer, 0) !== this.#txProducer && flags[0]! & XDP_RING_NEED_WAKEUP) {
      const result = syscall(NR.sendto, this.fd, 0, 0, MSG_DONTWAIT);
      if (result === -Errno.EAGAIN) continue;
      // Without copies the driver takes them in its own time, or when its carrier is back.
      if (result === 0 && this.#zerocopy) break;
      if (result === -Errno.EBUSY || result === -Errno.ENOBUFS || result === -Errno.ENETDOWN) break;
      check("sendto(AF_XDP)", result);
    }
    this.#reap();
  }

  /** Takes back the frames that have left. */
  #reap(): void {
    const { words, mask, producer, consumer } = this.#completion;
    const ready = (Atomics.load(producer, 0) - this.#completionConsumer) >>> 0;
    for (let i = 0; i < ready; i++) this.umem.give(words[((this.#completionConsumer + i) & mask) * 2]!);
    if (ready > 0) {
      this.#completionConsumer = (this.#completionConsumer + ready) >>> 0;
      Atomics.store(consumer, 0, this.#completionConsumer);
    }
  }

  stats(): XskStats {
    return scratch((memory) => {
      const out = memory.take(48);
      const length = memory.take(4);
      length.view.setUint32(0, 48, true);
      const result = syscall(NR.getsockopt, this.fd, SOL_XDP, XDP_STATISTICS, out.address, length.address);
      check("getsockopt(XDP_STATISTICS)", result);
      const field = (i: number): bigint => out.view.getBigUint64(i * 8, true);
      return {
        rxDropped: field(0),
        rxInvalid: field(1),
        txInvalid: field(2),
        rxRingFull: field(3),
        fillRingEmpty: field(4),
        txRingEmpty: field(5),
      };
    });
  }

  /** The queue stays taken until the rings are let go as well: both happen here. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const region of this.#regions) releaseRegion(region);
    close(this.fd);
  }
}
