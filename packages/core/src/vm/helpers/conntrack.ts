/**
 * Connection tracking as programs ask for it. What the arguments may be is checked here as the kernel does; the table
 * is the host's. A connection is the address of a CONNECTION block, handed out once per reference.
 * Source: net/netfilter/nf_conntrack_bpf.c 6.18.
 */
import { Errno } from "../../errors/index.ts";
import { type Connection, type ConnectionKey, type Env, type HelperImpl, helper } from "../env.ts";

/** struct bpf_ct_opts. */
const NETNS = 0;
const ERROR = 4;
const L4PROTO = 8;
const DIRECTION = 9;
const ZONE = 10;
const OPTIONS = 16;
/** Before zones. */
const OPTIONS_OLD = 12;
const TUPLE_IPV4 = 12;
const TUPLE_IPV6 = 36;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const CURRENT_NETNS = -1;
const IPS_EXPECTED = 1 << 0;
const IPS_SEEN_REPLY = 1 << 1;
const IPS_ASSURED = 1 << 2;
const IPS_CONFIRMED = 1 << 3;
const IPS_DYING = 1 << 9;
const IPS_FIXED_TIMEOUT = 1 << 10;
/** Bits that are the kernel's alone: asking for them has no effect. Source: IPS_UNCHANGEABLE_MASK. */
const UNCHANGEABLE = 0xdbf9;

/** A reference as an address: a block of its own, so that two references are two pointers. */
function hand(env: Env, connection: Connection): number {
  const at = env.memory.tryAlloc(64);
  if (!at) return 0;
  env.memory.u8.fill(0, at, at + 64);
  env.objects.connections.set(at, connection);
  return at;
}

interface Request {
  readonly key: ConnectionKey | undefined;
  readonly error: number;
}

function request(env: Env, a: readonly number[]): Request {
  const [, tuple, tupleSize, options, optionsSize] = a as [number, number, number, number, number];
  const { view, u8 } = env.memory;
  const fail = (errno: number): Request => ({ key: undefined, error: -errno });
  const at = options >>> 0;
  const size = optionsSize >>> 0;
  if (size !== OPTIONS && size !== OPTIONS_OLD) return fail(Errno.EINVAL);
  // The old form has two reserved bytes where the zone is now; the new one has three behind it.
  const reserved = size === OPTIONS ? u8.subarray(at + 13, at + 16) : u8.subarray(at + 10, at + 12);
  if (reserved.some((b) => b !== 0)) return fail(Errno.EINVAL);
  const netns = view.getInt32(at + NETNS, true);
  if (netns < CURRENT_NETNS) return fail(Errno.EINVAL);
  const protocol = u8[at + L4PROTO]!;
  if (protocol !== IPPROTO_TCP && protocol !== IPPROTO_UDP) return fail(Errno.EPROTO);
  const length = tupleSize >>> 0;
  if (length !== TUPLE_IPV4 && length !== TUPLE_IPV6) return fail(Errno.EAFNOSUPPORT);
  if (netns >= 0 && !env.host.hasNetns?.(netns)) return fail(Errno.ENONET);
  const width = length === TUPLE_IPV4 ? 4 : 16;
  const from = tuple >>> 0;
  const key: ConnectionKey = {
    netns,
    protocol,
    zone: size === OPTIONS ? view.getUint16(at + ZONE, true) : 0,
    source: u8.slice(from, from + width),
    destination: u8.slice(from + width, from + 2 * width),
    sourcePort: view.getUint16(from + 2 * width, false),
    destinationPort: view.getUint16(from + 2 * width + 2, false),
  };
  return { key, error: 0 };
}

/** Ends a lookup or an allocation that failed: the reason stands in the options, where they are long enough. */
function failed(env: Env, a: readonly number[], error: number): number {
  if (a[4]! >>> 0 >= ERROR + 4) env.memory.view.setInt32((a[3]! >>> 0) + ERROR, error, true);
  return 0;
}

function lookup(env: Env, a: readonly number[]): number {
  const { key, error } = request(env, a);
  if (!key) return failed(env, a, error);
  const found = env.host.conntrack?.lookup(key);
  if (!found) return failed(env, a, -Errno.ENOENT);
  env.memory.u8[(a[3]! >>> 0) + DIRECTION] = found.reply ? 1 : 0;
  return hand(env, found.connection);
}

function alloc(env: Env, a: readonly number[]): number {
  const { key, error } = request(env, a);
  if (!key) return failed(env, a, error);
  const made = env.host.conntrack?.create(key);
  return made ? hand(env, made) : failed(env, a, -Errno.ENOMEM);
}

const ask = (answer: (env: Env, a: readonly number[]) => number): HelperImpl =>
  helper("iiiii", "u", (env, ...a) => answer(env, a));
const of = (env: Env, at: number): Connection => env.objects.connections.get(at >>> 0)!;

/** Some bits must be as they are, two may only be set; none is cleared. Source: `nf_ct_change_status_common`. */
function changeStatus(connection: Connection, status: number): number {
  const wanted = status >>> 0;
  const changed = connection.status ^ wanted;
  if (changed & (IPS_EXPECTED | IPS_CONFIRMED | IPS_DYING)) return -Errno.EBUSY;
  if (changed & (IPS_SEEN_REPLY | IPS_ASSURED) & connection.status) return -Errno.EBUSY;
  connection.status |= wanted & ~UNCHANGEABLE;
  return 0;
}

export const CONNTRACK_KFUNCS: readonly (readonly [string, HelperImpl])[] = [
  ["bpf_xdp_ct_lookup", ask(lookup)],
  ["bpf_skb_ct_lookup", ask(lookup)],
  ["bpf_xdp_ct_alloc", ask(alloc)],
  ["bpf_skb_ct_alloc", ask(alloc)],
  [
    "bpf_ct_insert_entry",
    helper("i", "u", (env, at) => {
      const connection = of(env, at);
      connection.status |= IPS_CONFIRMED;
      if (env.host.conntrack?.insert(connection)) return at;
      env.objects.connections.delete(at >>> 0);
      env.memory.free(at >>> 0);
      return 0;
    }),
  ],
  [
    "bpf_ct_release",
    helper("i", "v", (env, at) => {
      if (env.objects.connections.delete(at >>> 0)) env.memory.free(at >>> 0);
      return 0;
    }),
  ],
  [
    "bpf_ct_set_timeout",
    helper("ii", "v", (env, at, milliseconds) => {
      of(env, at).timeoutMs = milliseconds >>> 0;
      return 0;
    }),
  ],
  [
    "bpf_ct_change_timeout",
    helper("ii", "i", (env, at, milliseconds) => {
      if (of(env, at).status & IPS_FIXED_TIMEOUT) return -Errno.EPERM;
      of(env, at).timeoutMs = milliseconds >>> 0;
      return 0;
    }),
  ],
  ["bpf_ct_set_status", helper("ii", "i", (env, at, status) => changeStatus(of(env, at), status))],
  ["bpf_ct_change_status", helper("ii", "i", (env, at, status) => changeStatus(of(env, at), status))],
  [
    /* (connection, address, port, which) */
    "bpf_ct_set_nat_info",
    helper("iiii", "i", (env, at, address, port, which) => {
      const connection = of(env, at);
      const side = which === 0 ? "source" : "destination";
      const from = address >>> 0;
      const nat = {
        address: env.memory.u8.slice(from, from + connection.key.source.length),
        port: Math.max(0, port) & 0xffff,
      };
      connection.nat = { ...connection.nat, [side]: nat };
      return 0;
    }),
  ],
];
