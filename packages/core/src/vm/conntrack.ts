/**
 * A table of connections, as the network model of a host may have it: each found by the packets of both directions,
 * those back with what was translated undone. Connections end when they are deleted; time is the owner's to apply.
 * Source: net/netfilter/nf_conntrack_core.c (a conflict in either direction refuses an entry).
 */
import type { Connection, ConnectionKey, Conntrack } from "./env.ts";

export class ConnectionTable implements Conntrack {
  readonly #limit: number;
  readonly #found = new Map<string, { readonly connection: Connection; readonly reply: boolean }>();
  readonly #connections = new Set<Connection>();

  /** @param limit connections that the table holds. */
  constructor(limit = 65536) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#connections.size;
  }

  lookup(key: ConnectionKey): { readonly connection: Connection; readonly reply: boolean } | undefined {
    return this.#found.get(nameOf(key));
  }

  create(key: ConnectionKey): Connection | undefined {
    return this.size < this.#limit ? { key, status: 0, timeoutMs: DEFAULT_TIMEOUT_MS } : undefined;
  }

  insert(connection: Connection): boolean {
    const [there, back] = [nameOf(connection.key), nameOf(replyKey(connection))];
    if (this.size >= this.#limit || this.#found.has(there) || this.#found.has(back)) return false;
    this.#found.set(there, { connection, reply: false });
    this.#found.set(back, { connection, reply: true });
    this.#connections.add(connection);
    return true;
  }

  /** True when it was in the table. */
  delete(connection: Connection): boolean {
    if (!this.#connections.delete(connection)) return false;
    for (const [name, entry] of this.#found) if (entry.connection === connection) this.#found.delete(name);
    return true;
  }

  /** What a snapshot keeps. Connections stay the objects that they are: `load` puts back what has changed of them. */
  save(): readonly (readonly [Connection, Readonly<Connection>])[] {
    return [...this.#connections].map((connection) => [connection, { ...connection }] as const);
  }

  load(state: ReturnType<ConnectionTable["save"]>): void {
    this.#found.clear();
    this.#connections.clear();
    for (const [connection, then] of state) {
      const { status, timeoutMs, nat } = then;
      Object.assign(connection, { status, timeoutMs, nat });
      this.insert(connection);
    }
  }

  /** All connections, in the order in which they came. */
  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#connections.values();
  }
}

/** What a program that sets none gets. Source: `__bpf_nf_ct_alloc_entry`'s callers. */
const DEFAULT_TIMEOUT_MS = 10_000;

function nameOf({ netns, protocol, zone, source, destination, sourcePort, destinationPort }: ConnectionKey): string {
  return `${netns} ${protocol} ${zone} ${source.join(".")} ${sourcePort} ${destination.join(".")} ${destinationPort}`;
}

/** The addresses of packets in the other direction. */
function replyKey({ key, nat }: Connection): ConnectionKey {
  return {
    ...key,
    source: nat?.destination?.address ?? key.destination,
    destination: nat?.source?.address ?? key.source,
    sourcePort: nat?.destination?.port || key.destinationPort,
    destinationPort: nat?.source?.port || key.sourcePort,
  };
}
