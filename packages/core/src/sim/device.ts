/**
 * A network device of the simulator: frames arrive, the XDP program at its hook decides, frames leave.
 *
 * What a verdict means is the kernel's: PASS hands the frame to the stack, TX sends it back out, REDIRECT sends it out
 * of the device that the helper named, DROP ends it; ABORTED and unknown numbers end it as an error
 * (Source: kernel 6.18 include/linux/filter.h bpf_prog_run_xdp, drivers/net/veth.c veth_xdp_rcv_one).
 */
import { XdpAction } from "../object/index.ts";

/** How a frame left the hook. `missing` is a redirect that had no device to go to: the kernel drops it. */
export type Fate = "stack" | "transmitted" | "redirected" | "dropped" | "aborted" | "missing";

/** What a program said about one frame, valid only until the next run: the same object is used again. */
export interface XdpResult {
  readonly verdict: number;
  /** The memory that the frame is in, and its place there. */
  readonly memory: Uint8Array;
  readonly at: number;
  readonly length: number;
  /** For XDP_REDIRECT: the ifindex to leave by, undefined where the helper named none. */
  readonly ifindex: number | undefined;
}

/** Runs the attached program on a frame that arrived at `ifindex`. */
export type XdpHandler = (memory: Uint8Array, at: number, length: number, ifindex: number) => XdpResult;

export interface DeviceStats {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

/** Where frames go: a capture file, another device, a host's stack. The bytes are a view: copy what is kept. */
export type FrameSink = (frame: Uint8Array, timestampNs: bigint) => void;

/** As FrameSink, for those who take a million a second: a frame by its place, without a view made for it. */
export type PlacedFrameSink = (memory: Uint8Array, at: number, length: number, timestampNs: bigint) => void;

export class SimDevice {
  /** Name and ifindex change with a request (`ip link set … name`, another namespace), the device stays. */
  name: string;
  ifindex: number;
  readonly stats: DeviceStats = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
  /** Takes the frames that leave by this device; they are gone when absent. */
  onTransmit: FrameSink | undefined;
  /** Takes them by their place instead, where it is set. */
  onTransmitAt: PlacedFrameSink | undefined;
  /** The wire that the network puts behind the device; set by it. */
  onWire: FrameSink | undefined;
  /** Takes the frames that XDP passes up to the host. */
  onStack: FrameSink | undefined;
  /** Set by the target while a link is open. */
  xdp: XdpHandler | undefined;
  readonly #peer: (ifindex: number) => SimDevice | undefined;

  constructor(name: string, ifindex: number, peer: (ifindex: number) => SimDevice | undefined) {
    this.name = name;
    this.ifindex = ifindex;
    this.#peer = peer;
  }

  /** A frame arrives from the wire; it is not changed. Answers what became of it. */
  receive(frame: Uint8Array, timestampNs: bigint): Fate {
    return this.receiveAt(frame, 0, frame.length, timestampNs);
  }

  /** `receive` of a frame that is named by its place. */
  receiveAt(memory: Uint8Array, at: number, length: number, timestampNs: bigint): Fate {
    this.stats.rxPackets++;
    this.stats.rxBytes += length;
    if (!this.xdp) {
      this.onStack?.(memory.subarray(at, at + length), timestampNs);
      return "stack";
    }
    const result = this.xdp(memory, at, length, this.ifindex);
    switch (result.verdict) {
      case XdpAction.XDP_PASS:
        this.onStack?.(result.memory.subarray(result.at, result.at + result.length), timestampNs);
        return "stack";
      case XdpAction.XDP_TX:
        this.transmitAt(result.memory, result.at, result.length, timestampNs);
        return "transmitted";
      case XdpAction.XDP_REDIRECT: {
        const out = result.ifindex === undefined ? undefined : this.#peer(result.ifindex);
        out?.transmitAt(result.memory, result.at, result.length, timestampNs);
        return out ? "redirected" : "missing";
      }
      case XdpAction.XDP_DROP:
        return "dropped";
      default:
        return "aborted";
    }
  }

  /** A frame leaves by this device. */
  transmit(frame: Uint8Array, timestampNs: bigint): void {
    this.transmitAt(frame, 0, frame.length, timestampNs);
  }

  transmitAt(memory: Uint8Array, at: number, length: number, timestampNs: bigint): void {
    this.stats.txPackets++;
    this.stats.txBytes += length;
    if (this.onTransmitAt) this.onTransmitAt(memory, at, length, timestampNs);
    else this.onTransmit?.(memory.subarray(at, at + length), timestampNs);
    this.onWire?.(memory.subarray(at, at + length), timestampNs);
  }
}
