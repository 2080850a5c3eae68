/**
 * Changes of a simulated namespace, as its watchers are told of them: after each request once what is different, in the
 * messages that the kernel's groups carry.
 *
 * The kernel is silent about some of what it takes away, and so it is here: a route that another took the place of, and
 * IPv4 routes whose device went down or away but for those of its addresses (net/ipv4/fib_frontend.c fib_disable_ip).
 */
import {
  AF_INET,
  decodeEvent,
  type Message,
  type NetworkEvent,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTN,
  type RTNL_GROUPS,
} from "../../netlink/index.ts";
import { encodeAddress } from "./addresses.ts";
import { encodeLink } from "./links.ts";
import { encodeNeighbour } from "./neighbours.ts";
import { encodeRoute } from "./routes.ts";
import type { NetNeighbour, Netns, NetRoute } from "./state.ts";

export type WatchKind = keyof typeof RTNL_GROUPS;

interface Watcher {
  readonly ns: Netns;
  readonly kinds: ReadonlySet<WatchKind>;
  readonly callback: (event: NetworkEvent) => void;
}

/** One thing of a namespace, and the message that tells of it. */
interface Known {
  readonly kind: WatchKind;
  readonly body: Uint8Array;
  /** What of it counts as a change: all but counters. */
  readonly text: string;
  readonly route?: NetRoute;
  readonly neighbour?: NetNeighbour;
}

const TYPES: Readonly<Record<WatchKind, readonly [added: number, removed: number]>> = {
  link: [RTM_NEWLINK, RTM_DELLINK],
  address: [RTM_NEWADDR, RTM_DELADDR],
  neighbour: [RTM_NEWNEIGH, RTM_DELNEIGH],
  route: [RTM_NEWROUTE, RTM_DELROUTE],
};
/** The kernel tells that a device is there before what stands on it, and what stood on it before that it is gone. */
const ORDER: readonly WatchKind[] = ["link", "address", "route", "neighbour"];

export class Watchers {
  readonly #watchers = new Set<Watcher>();
  readonly #known = new Map<Netns, ReadonlyMap<string, Known>>();

  /** @returns what ends it. */
  watch(ns: Netns, kinds: readonly WatchKind[], callback: (event: NetworkEvent) => void): () => void {
    const watcher = { ns, kinds: new Set(kinds), callback };
    this.#watchers.add(watcher);
    if (!this.#known.has(ns)) this.#known.set(ns, snapshot(ns));
    return () => {
      this.#watchers.delete(watcher);
      if (![...this.#watchers].some((other) => other.ns === ns)) this.#known.delete(ns);
    };
  }

  /** Tells what is different since the last time. `cause` is the type of the request that did it; 0 for none. */
  tell(cause: number): void {
    for (const [ns, before] of this.#known) {
      const now = snapshot(ns);
      this.#known.set(ns, now);
      const changes: { known: Known; removed: boolean }[] = [];
      for (const [key, known] of before) {
        if (!now.has(key) && !silent(known, cause)) changes.push({ known, removed: true });
      }
      for (const [key, known] of now) if (before.get(key)?.text !== known.text) changes.push({ known, removed: false });
      const place = ({ known, removed }: (typeof changes)[number]): number =>
        removed ? -ORDER.indexOf(known.kind) : ORDER.indexOf(known.kind) + 1;
      changes.sort((a, b) => place(a) - place(b));
      for (const { known, removed } of changes) {
        // A neighbour that is taken away fails first, and is forgotten as a failed one.
        const gone = removed && cause === RTM_DELNEIGH ? known.neighbour : undefined;
        const last = gone ? { ...known, body: encodeNeighbour({ ...gone, mac: undefined, state: NUD_FAILED }) } : known;
        if (gone) this.#send(ns, last, false);
        this.#send(ns, last, removed);
      }
    }
  }

  #send(ns: Netns, { kind, body }: Known, removed: boolean): void {
    const message: Message = { type: TYPES[kind][removed ? 1 : 0], flags: 0, seq: 0, body };
    const event = decodeEvent(message);
    if (!event) return;
    for (const watcher of this.#watchers) if (watcher.ns === ns && watcher.kinds.has(kind)) watcher.callback(event);
  }
}

function silent({ route }: Known, cause: number): boolean {
  if (!route) return false;
  if (cause === RTM_NEWROUTE) return true;
  if (route.family !== AF_INET || cause === RTM_DELROUTE || cause === RTM_DELADDR) return false;
  return route.type !== RTN.local;
}

const NUD_FAILED = 0x20;

function snapshot(ns: Netns): Map<string, Known> {
  const all = new Map<string, Known>();
  const add = (kind: WatchKind, key: string, known: Omit<Known, "kind">): void => {
    all.set(`${kind} ${key}`, { kind, ...known });
  };
  for (const link of ns.links) {
    const body = encodeLink(link);
    const event = decodeEvent({ type: RTM_NEWLINK, flags: 0, seq: 0, body }) as Extract<NetworkEvent, { kind: "link" }>;
    add("link", String(link.index), { body, text: JSON.stringify({ ...event.link, stats: undefined }) });
  }
  for (const address of ns.addresses) {
    const body = encodeAddress(address);
    add("address", `${address.link.index} ${address.bytes}/${address.length}`, { body, text: String(body) });
  }
  for (const neighbour of ns.neighbours) {
    const body = encodeNeighbour(neighbour);
    add("neighbour", `${neighbour.link.index} ${neighbour.ip}`, { body, text: String(body), neighbour });
  }
  for (const route of ns.routes) {
    const body = encodeRoute(route);
    const { family, table, dst, length, tos, metric, via, link, type } = route;
    const key = [family, table, dst, length, tos, metric, via, link?.index, type].join(" ");
    add("route", key, { body, text: String(body), route });
  }
  return all;
}
