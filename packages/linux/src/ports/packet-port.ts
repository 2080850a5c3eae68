/**
 * A device behind AF_PACKET as a `PacketPort`: works on every device, beside the kernel's stack rather than in its
 * place. Forwarding with it needs the stack to be silent (no address on the device), else both answer.
 */
import type { PacketPort, PortStats } from "@ebplane/core/object";
import { ifindex } from "../link/index.ts";
import { PacketRing } from "../rings/index.ts";
import { inNetns, pollReadable } from "../sys/index.ts";

export interface PacketSocketPortOptions {
  readonly iface: string;
  /** An fd of the device's network namespace; the calling thread's own when absent. */
  readonly netns?: number;
  /** Default 64 blocks of 256 KiB. */
  readonly blocks?: number;
  readonly blockSize?: number;
  /** Milliseconds that a frame waits at most for its block to fill; default 1. */
  readonly timeout?: number;
  /** Also frames for other stations; default true. */
  readonly promiscuous?: boolean;
}

export class PacketSocketPort implements PacketPort {
  readonly name: string;
  readonly maxFrame = 65_535;
  readonly #ring: PacketRing;
  #received = 0;
  #sent = 0;
  #refused = 0;
  #open = true;

  constructor(options: PacketSocketPortOptions) {
    const { iface, netns, blocks = 64, blockSize = 1 << 18, timeout = 1, promiscuous = true } = options;
    this.name = iface;
    const open = () => new PacketRing({ ifindex: ifindex(iface), blocks, blockSize, timeout, promiscuous });
    this.#ring = netns === undefined ? open() : inNetns(netns, open);
  }

  receive(sink: (memory: Uint8Array, at: number, length: number) => void, max = 256): number {
    this.#check();
    const count = this.#ring.receive(sink, max);
    this.#received += count;
    return count;
  }

  send(memory: Uint8Array, at: number, length: number): boolean {
    this.#check();
    const done = this.#ring.send(memory, at, length);
    if (done) this.#sent++;
    else this.#refused++;
    return done;
  }

  /** Frames leave at once. */
  flush(): void {
    this.#check();
  }

  watch(ready: () => void): () => void {
    this.#check();
    const poll = pollReadable(this.#ring.fd, ready);
    return () => poll.close();
  }

  stats(): PortStats {
    this.#check();
    return { received: this.#received, sent: this.#sent, dropped: this.#ring.dropped, refused: this.#refused };
  }

  #check(): void {
    if (!this.#open) throw new TypeError(`port ${this.name}: is closed`);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#ring.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
