/**
 * A TAP device as a `PacketPort`: what the kernel sends to the device arrives here, what is sent here the kernel
 * receives. The device goes with the port. Source: Documentation/networking/tuntap.rst.
 */
import { closeSync, openSync } from "node:fs";
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import type { PacketPort, PortStats } from "@ebplane/core/object";
import { allocBlock, type Block, freeBlock, scratch } from "../mem/index.ts";
import { check, inNetns, NR, pollReadable, syscall } from "../sys/index.ts";

const TUN = "/dev/net/tun";
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const O_RDWR_NONBLOCK = 0o2 | 0o4000 | 0o2000000;
const MAX_FRAME = 65_535;

export interface TapOptions {
  /** At most 15 bytes; the kernel picks a number for `%d`. */
  readonly name: string;
  /** An fd of the network namespace that the device is made in; the calling thread's own when absent. */
  readonly netns?: number;
}

export class TapPort implements PacketPort {
  /** The device's name, as the kernel settled it. */
  readonly name: string;
  readonly maxFrame = MAX_FRAME;
  readonly #fd: number;
  readonly #buffer: Block;
  #received = 0;
  #sent = 0;
  #refused = 0;
  #open = true;

  /** Creates the device, down and without address. @throws SysError EBUSY for a name that is taken. */
  constructor(options: TapOptions) {
    const make = () => {
      const fd = openTun();
      try {
        return { fd, name: setInterface(fd, options.name) };
      } catch (error) {
        closeSync(fd);
        throw error;
      }
    };
    const { fd, name } = options.netns === undefined ? make() : inNetns(options.netns, make);
    this.#fd = fd;
    this.name = name;
    this.#buffer = allocBlock(MAX_FRAME);
  }

  receive(sink: (memory: Uint8Array, at: number, length: number) => void, max = 256): number {
    let count = 0;
    while (count < max) {
      this.#check();
      const length = syscall(NR.read, this.#fd, this.#buffer.address, MAX_FRAME);
      if (length === -Errno.EAGAIN) break;
      check("read(tap)", length, this.name);
      count++;
      this.#received++;
      sink(this.#buffer.bytes, 0, length);
    }
    return count;
  }

  send(memory: Uint8Array, at: number, length: number): boolean {
    this.#check();
    return scratch((room) => {
      const result = syscall(NR.write, this.#fd, room.put(memory.subarray(at, at + length)), length);
      // EIO: the device is down, as a cable that is not plugged in.
      if (result === -Errno.EAGAIN || result === -Errno.EIO) {
        this.#refused++;
        return false;
      }
      check("write(tap)", result, `${this.name}: frame of ${length} bytes`);
      this.#sent++;
      return true;
    });
  }

  /** Frames leave at once. */
  flush(): void {
    this.#check();
  }

  watch(ready: () => void): () => void {
    this.#check();
    const poll = pollReadable(this.#fd, ready);
    return () => poll.close();
  }

  /** What the kernel drops for a full queue is in the device's own statistics. */
  stats(): PortStats {
    return { received: this.#received, sent: this.#sent, dropped: 0, refused: this.#refused };
  }

  #check(): void {
    if (!this.#open) throw new TypeError(`port ${this.name}: is closed`);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    freeBlock(this.#buffer);
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function openTun(): number {
  try {
    return openSync(TUN, O_RDWR_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new UnsupportedError("tap", `there is no ${TUN}: this kernel has no TUN/TAP, or not yet (modprobe tun)`);
  }
}

function setInterface(fd: number, name: string): string {
  return scratch((memory) => {
    const request = memory.take(40); // struct ifreq
    const bytes = new TextEncoder().encode(name);
    if (bytes.length > 15) throw new RangeError(`interface ${JSON.stringify(name)}: expected at most 15 bytes`);
    request.bytes.set(bytes);
    request.view.setUint16(16, IFF_TAP | IFF_NO_PI, true);
    check("ioctl(TUNSETIFF)", syscall(NR.ioctl, fd, TUNSETIFF, request.address), name);
    return new TextDecoder().decode(request.bytes.slice(0, request.bytes.indexOf(0)));
  });
}
