/**
 * The virtual network: namespaces, the devices in them, and the wires between. It is configured as a kernel is, with the
 * requests of `@ebplane/core/netlink`, and it answers `bpf_fib_lookup`. Frames run over veth pairs; there is no host stack:
 * bridges, vlans and tunnels are devices with a configuration, and nothing behind them.
 */
import type { NetlinkClient, NetworkEvent } from "../../netlink/index.ts";
import { SimDevice } from "../device.ts";
import { giveLoopback, linkCameUp } from "./addresses.ts";
import { freeIndex, madeUpMac, place } from "./links.ts";
import { SimRoute } from "./rtnetlink.ts";
import { initialRules } from "./rules.ts";
import type { NetLink, Netns, World } from "./state.ts";
import { Watchers, type WatchKind } from "./watch.ts";

/** Hops of one frame from veth to veth: two programs that send it to and fro would never end. */
const MOST_HOPS = 64;

/** A namespace as users hold it, like `NetNs` of the linux package. */
export interface SimNetns {
  /** The number by which requests name it (`netns` of a LinkSpec). */
  readonly fd: number;
  /** Configures and lists it. */
  readonly route: NetlinkClient;
  /** Calls back for each change of these kinds, until what is returned is called: as `watchNetwork` of the linux package. */
  watch(kinds: readonly WatchKind[], callback: (event: NetworkEvent) => void): () => void;
  /** A device by name. @throws RangeError that lists those there are. */
  device(name: string): SimDevice;
  /** Whether packets for others are passed on. Off at first, as in the kernel. */
  readonly forwarding: { 4: boolean; 6: boolean };
}

interface Frame {
  readonly bytes: Uint8Array;
  readonly to: NetLink;
  readonly timestampNs: bigint;
  readonly hops: number;
}

export class SimNetwork implements World {
  readonly namespaces: Netns[] = [];
  /** The namespace in which a target's programs run. */
  readonly root: SimNetns;
  /** @internal Told by each request. */
  readonly watchers = new Watchers();
  readonly #queue: Frame[] = [];
  #hops = 0;
  #running = false;

  constructor() {
    this.root = this.createNetns();
  }

  /** A new namespace: a loopback, down, and the usual rules. */
  createNetns(): SimNetns {
    const ns: Netns = {
      fd: 1000 + this.namespaces.length,
      links: [],
      addresses: [],
      routes: [],
      neighbours: [],
      rules: initialRules(),
      merged: true,
      forwarding: { 4: false, 6: false },
    };
    this.namespaces.push(ns);
    const lo = place(ns, this.#fixed(ns, "lo", new Uint8Array(6), 65536));
    giveLoopback(lo);
    return {
      fd: ns.fd,
      route: new SimRoute(this, ns),
      watch: (kinds, callback) => this.watchers.watch(ns, kinds, callback),
      forwarding: ns.forwarding,
      device: (name) => deviceOf(ns, name),
    };
  }

  /** A device that is simply there, up, in the root namespace. @throws RangeError when the name is taken. */
  addDevice(name: string): SimDevice {
    const ns = this.namespaces[0]!;
    if (ns.links.some((link) => link.name === name)) throw new RangeError(`device ${name} is there already`);
    const link = place(ns, this.#fixed(ns, name, undefined, 1500));
    link.up = true;
    linkCameUp(link);
    this.watchers.tell(0);
    return link.device;
  }

  #fixed(ns: Netns, name: string, mac: Uint8Array | undefined, mtu: number): NetLink {
    const index = freeIndex(ns);
    return {
      ns,
      index,
      name,
      kind: undefined,
      mac: mac ?? madeUpMac(ns, index),
      mtu,
      mtuSet: false,
      up: false,
      master: undefined,
      lower: undefined,
      queues: 1,
      fixed: true,
      device: this.newDevice(name, index),
    };
  }

  newDevice(name: string, index: number, wired = false): SimDevice {
    const device: SimDevice = new SimDevice(name, index, (ifindex) => this.#beside(device, ifindex));
    if (wired) device.onWire = (bytes, timestampNs) => this.#carry(device, bytes, timestampNs);
    return device;
  }

  #find(device: SimDevice): NetLink | undefined {
    for (const ns of this.namespaces) {
      const link = ns.links.find((l) => l.device === device);
      if (link) return link;
    }
    return undefined;
  }

  /** The device with an index in the same namespace. Per redirected frame: most simulations have one namespace. */
  #beside(device: SimDevice, ifindex: number): SimDevice | undefined {
    const [only] = this.namespaces;
    const links = this.namespaces.length === 1 ? only!.links : this.#find(device)?.ns.links;
    if (links) for (const link of links) if (link.index === ifindex) return link.device;
    return undefined;
  }

  /** What leaves by a veth arrives at its peer, after what is on the way already. */
  #carry(device: SimDevice, bytes: Uint8Array, timestampNs: bigint): void {
    const link = this.#find(device);
    const peer = link?.kind === "veth" ? link.lower : undefined;
    if (!link?.up || !peer?.up || this.#hops >= MOST_HOPS) return;
    this.#queue.push({ bytes: bytes.slice(), to: peer, timestampNs, hops: this.#hops + 1 });
    if (this.#running) return;
    this.#running = true;
    try {
      for (let frame = this.#queue.shift(); frame; frame = this.#queue.shift()) {
        this.#hops = frame.hops;
        frame.to.device.receive(frame.bytes, frame.timestampNs);
      }
    } finally {
      this.#hops = 0;
      this.#running = false;
      this.#queue.length = 0;
    }
  }

  /** The root namespace's state, for look-ups of programs. */
  get state(): Netns {
    return this.namespaces[0]!;
  }
}

function deviceOf(ns: Netns, name: string): SimDevice {
  const link = ns.links.find((l) => l.name === name);
  if (link) return link.device;
  throw new RangeError(`no device named ${name}: the simulation has ${ns.links.map((l) => l.name).join(", ")}`);
}
