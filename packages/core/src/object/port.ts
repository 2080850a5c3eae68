/**
 * `PacketPort`: where frames enter and leave a data plane that runs in userspace. AF_XDP, AF_PACKET and TAP stand
 * behind it on Linux, captures and simulated devices elsewhere.
 *
 * Frames are named by memory, offset and length instead of one array each: at a million a second, making the array
 * would cost more than the rest.
 */
export interface PacketPort {
  readonly name: string;
  /** The longest frame that it carries, in bytes from the Ethernet header. */
  readonly maxFrame: number;
  /**
   * Hands the frames that have arrived to `sink`, at most `max`. The bytes are valid, and not to be changed, until
   * `sink` returns. Never waits. @returns how many.
   */
  receive(sink: (memory: Uint8Array, at: number, length: number) => void, max?: number): number;
  /** Queues a copy of a frame to be sent. False when there is no room now: flush and try later, or drop and count. */
  send(memory: Uint8Array, at: number, length: number): boolean;
  /** Gives what is queued to the device. */
  flush(): void;
  /** Calls back from the event loop while frames wait, until the returned function is called. */
  watch(ready: () => void): () => void;
  /** Counts since the port was opened. */
  stats(): PortStats;
  close(): void;
  [Symbol.dispose](): void;
}

export interface PortStats {
  readonly received: number;
  readonly sent: number;
  /** Frames that arrived and found no room, as far as the port is told. */
  readonly dropped: number;
  /** Frames that `send` had no room for. */
  readonly refused: number;
}
