/**
 * A data plane in userspace on live traffic: frames from packet ports into simulated devices, where the programs run,
 * and what leaves those devices out of the ports. One thread, no queue between: a port that has no room refuses the
 * frame and counts it, as a device with a full queue does.
 */
import type { PacketPort } from "@ebplane/core/object";
import { PacketSocketPort } from "./packet-port.ts";
import { TapPort } from "./tap.ts";
import { XskPort } from "./xsk-port.ts";

/** What the pump needs of a device; `SimDevice` of @ebplane/core/sim is one. */
export interface PumpDevice {
  /** A frame arrives from the wire, valid during the call. */
  receiveAt(memory: Uint8Array, at: number, length: number, timestampNs: bigint): unknown;
  /** Takes the frames that leave by this device. */
  onTransmitAt: ((memory: Uint8Array, at: number, length: number, timestampNs: bigint) => void) | undefined;
}

export interface Wire {
  readonly port: PacketPort;
  readonly device: PumpDevice;
}

export interface Pump {
  /** Moves what is there now, at most `batch` frames from each port. @returns how many frames arrived. */
  turn(): number;
  /** Lets go of the devices and the event loop; the ports stay the caller's. */
  stop(): void;
  [Symbol.dispose](): void;
}

/** What waits is moved at once, up to this: each batch costs a system call or two. */
const BATCH = 256;
/** Turns in a row before timers and other events get their chance. */
const TURNS = 64;

/** Starts moving frames whenever a port has some. `watch` false leaves the turns to the caller. */
export function pumpPorts(wires: readonly Wire[], options: { batch?: number; watch?: boolean } = {}): Pump {
  const { batch = BATCH, watch = true } = options;
  for (const { port, device } of wires) {
    // What is refused is in the port's own count.
    device.onTransmitAt = (memory, at, length) => void port.send(memory, at, length);
  }
  const turn = (): number => {
    const now = process.hrtime.bigint();
    let count = 0;
    for (const { port, device } of wires) {
      count += port.receive((memory, at, length) => device.receiveAt(memory, at, length, now), batch);
    }
    if (count > 0) for (const { port } of wires) port.flush();
    return count;
  };
  const drain = (): void => {
    for (let i = 0; i < TURNS && turn() > 0; i++);
  };
  const stops = watch ? wires.map(({ port }) => port.watch(drain)) : [];
  const stop = (): void => {
    for (const stopWatching of stops.splice(0)) stopWatching();
    for (const { device } of wires) device.onTransmitAt = undefined;
  };
  return { turn, stop, [Symbol.dispose]: stop };
}

/**
 * A port from its text form: `afxdp:IFACE[:native|generic]`, `packet:IFACE`, `tap:NAME`.
 * @throws RangeError that says what is expected.
 */
export function openPort(text: string, netns?: number): PacketPort {
  const [, kind, name, mode] = /^(afxdp|packet|tap):([^:]+)(?::(native|generic))?$/.exec(text) ?? [];
  if (kind === "afxdp") return new XskPort({ iface: name!, netns, mode: mode as "native" | "generic" | undefined });
  if (kind !== undefined && mode === undefined) {
    return kind === "tap" ? new TapPort({ name: name!, netns }) : new PacketSocketPort({ iface: name!, netns });
  }
  throw new RangeError(`port ${JSON.stringify(text)}: expected afxdp:IFACE[:native|generic], packet:IFACE or tap:NAME`);
}
