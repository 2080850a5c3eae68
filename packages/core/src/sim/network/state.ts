/**
 * What a simulated network consists of: namespaces with their devices, addresses, routes, neighbours and rules. Data and
 * look-ups; what a change brings with it is said in links.ts, addresses.ts, routes.ts, neighbours.ts and rules.ts.
 */
import { bytesEqual } from "../../bytes/index.ts";
import { errnoName, SysError } from "../../errors/index.ts";
import type { SimDevice } from "../device.ts";

/** A request that is refused: the errno and the words of the extended acknowledgement, as the kernel's. */
export class Refusal extends SysError {
  readonly words: string | undefined;
  constructor(errno: number, words?: string) {
    super("rtnetlink", errno, errnoName(errno), words ?? "");
    this.words = words;
  }
}

export function refuse(errno: number, words?: string): never {
  throw new Refusal(errno, words);
}

export interface NetLink {
  ns: Netns;
  index: number;
  name: string;
  /** `veth`, `bridge` …; undefined for loopback and devices that were simply there. */
  readonly kind: string | undefined;
  mac: Uint8Array;
  mtu: number;
  /** A bridge's MTU follows its ports until one is set. */
  mtuSet: boolean;
  up: boolean;
  /** The bridge that it is a port of. */
  master: NetLink | undefined;
  /** The other end of a veth; the device below a vlan or macvlan. */
  lower: NetLink | undefined;
  readonly queues: number;
  /** Kinds that cannot be taken away: loopback and what was simply there. */
  readonly fixed: boolean;
  readonly device: SimDevice;
}

export interface NetAddress {
  readonly link: NetLink;
  readonly bytes: Uint8Array;
  readonly length: number;
  /** Of an IPv4 address: the device's name unless it was said. */
  readonly label: string | undefined;
  /** IFA_F_*. */
  flags: number;
}

export interface NetRoute {
  readonly family: number;
  readonly dst: Uint8Array;
  readonly length: number;
  readonly table: number;
  /** RTN_*. */
  readonly type: number;
  readonly protocol: number;
  readonly scope: number;
  readonly metric: number;
  readonly tos: number;
  readonly via: Uint8Array | undefined;
  readonly link: NetLink | undefined;
  readonly source: Uint8Array | undefined;
  /** RTA_ENCAP_TYPE and RTA_ENCAP as they came. */
  readonly encap: { readonly type: Uint8Array; readonly attrs: Uint8Array } | undefined;
}

export interface NetNeighbour {
  readonly link: NetLink;
  readonly ip: Uint8Array;
  mac: Uint8Array | undefined;
  /** NUD_*. */
  state: number;
}

export interface NetRule {
  readonly family: number;
  readonly priority: number;
  readonly table: number;
  readonly from: { readonly bytes: Uint8Array; readonly length: number } | undefined;
  readonly to: { readonly bytes: Uint8Array; readonly length: number } | undefined;
  readonly iif: string | undefined;
  readonly mark: number | undefined;
}

/** One namespace. `fd` is the number by which requests name it; it is no file descriptor. */
export interface Netns {
  readonly fd: number;
  readonly links: NetLink[];
  addresses: NetAddress[];
  routes: NetRoute[];
  neighbours: NetNeighbour[];
  rules: NetRule[];
  /** Until the first rule of its own, IPv4's local table is part of main and says so. */
  merged: boolean;
  /** Whether packets for others are passed on (`net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`). */
  readonly forwarding: { 4: boolean; 6: boolean };
}

/** All namespaces of a simulation, and how a device comes to be. */
export interface World {
  readonly namespaces: readonly Netns[];
  /** `wired`: what leaves by it arrives elsewhere. */
  /** Those who are told of changes. */
  readonly watchers: { tell(cause: number): void };
  newDevice(name: string, index: number, wired?: boolean): SimDevice;
}

export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a && b ? bytesEqual(a, b) : a === b;
}

/** `lo`, which is of no kind. */
export function isLoopback({ kind, name }: NetLink): boolean {
  return kind === undefined && name === "lo";
}

export function linkAt(ns: Netns, index: number): NetLink | undefined {
  return ns.links.find((link) => link.index === index);
}

/** Whether the carrier is there: both ends of a veth up, for others the device itself. */
export function hasCarrier(link: NetLink): boolean {
  if (!link.up) return false;
  if (link.kind === "veth") return link.lower?.up ?? false;
  if (link.kind === "bridge") return link.ns.links.some((port) => port.master === link && hasCarrier(port));
  return link.lower ? hasCarrier(link.lower) : true;
}
