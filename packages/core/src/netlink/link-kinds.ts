/**
 * Kinds of network devices and their attributes (`IFLA_INFO_DATA`). Names are those of ip(8) where it has a word, else the
 * kernel's. What the kernel only tells (a bridge's timers) is left out.
 * Source: include/uapi/linux/if_link.h, if_tunnel.h of 6.18; net/bridge, drivers/net for the widths.
 */
import {
  be16,
  be32,
  bool,
  type Codec,
  choice,
  flag,
  ip,
  list,
  mac,
  oneOf,
  struct,
  type Table,
  u8,
  u16,
  u32,
  type Values,
} from "./schema.ts";

const onOff = bool(u8);
const VLAN_FLAGS = struct({ flags: u32, mask: u32 });
/** 802.1Q or 802.1ad. */
const vlanProtocol = oneOf({ "802.1Q": 0x8100, "802.1ad": 0x88a8 }, be16);

const vlan = {
  id: [1, u16],
  flags: [2, VLAN_FLAGS],
  protocol: [5, vlanProtocol],
} as const satisfies Table;

const macvlan = {
  mode: [1, oneOf({ private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 })],
  flags: [2, u16],
  bcQueueLength: [7, u32],
} as const satisfies Table;

const ipvlan = {
  mode: [1, choice(["l2", "l3", "l3s"], u16)],
  flags: [2, oneOf({ bridge: 0, private: 1, vepa: 2 }, u16)],
} as const satisfies Table;

const bridge = {
  forwardDelay: [1, u32],
  helloTime: [2, u32],
  maxAge: [3, u32],
  ageingTime: [4, u32],
  stp: [5, bool(u32)],
  priority: [6, u16],
  vlanFiltering: [7, onOff],
  vlanProtocol: [8, vlanProtocol],
  groupForwardMask: [9, u16],
  multicastRouter: [22, u8],
  multicastSnooping: [23, onOff],
  multicastQuerier: [25, onOff],
  vlanDefaultPvid: [39, u16],
  vlanStats: [41, onOff],
  multicastStats: [42, onOff],
  igmpVersion: [43, u8],
} as const satisfies Table;

const bond = {
  mode: [
    1,
    choice(["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"], u8),
  ],
  activeSlave: [2, u32],
  miimon: [3, u32],
  upDelay: [4, u32],
  downDelay: [5, u32],
  useCarrier: [6, onOff],
  arpInterval: [7, u32],
  arpTargets: [8, list(ip)],
  primary: [11, u32],
  primaryReselect: [12, choice(["always", "better", "failure"], u8)],
  failOverMac: [13, choice(["none", "active", "follow"], u8)],
  hashPolicy: [14, choice(["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"], u8)],
  resendIgmp: [15, u32],
  peerNotifications: [16, u8],
  allSlavesActive: [17, onOff],
  minLinks: [18, u32],
  packetsPerSlave: [20, u32],
  lacpRate: [21, choice(["slow", "fast"], u8)],
} as const satisfies Table;

const vxlan = {
  vni: [1, u32],
  remote: [[2, 16], ip],
  /** Index of the device below. */
  link: [3, u32],
  local: [[4, 17], ip],
  ttl: [5, u8],
  tos: [6, u8],
  learning: [7, onOff],
  ageing: [8, u32],
  maxAddresses: [9, u32],
  sourcePorts: [10, struct({ low: be16, high: be16 })],
  proxy: [11, onOff],
  rsc: [12, onOff],
  l2miss: [13, onOff],
  l3miss: [14, onOff],
  port: [15, be16],
  udpChecksum: [18, onOff],
  udp6ZeroChecksumTx: [19, onOff],
  udp6ZeroChecksumRx: [20, onOff],
  gbp: [23, flag],
  /** Tunnel metadata come with each packet (`bpf_skb_set_tunnel_key`); no vni then. */
  external: [25, onOff],
  flowLabel: [26, be32],
  gpe: [27, flag],
  df: [29, choice(["unset", "set", "inherit"], u8)],
  vniFilter: [30, onOff],
} as const satisfies Table;

const geneve = {
  vni: [1, u32],
  remote: [[2, 7], ip],
  ttl: [3, u8],
  tos: [4, u8],
  port: [5, be16],
  external: [6, flag],
  udpChecksum: [8, onOff],
  udp6ZeroChecksumTx: [9, onOff],
  udp6ZeroChecksumRx: [10, onOff],
  flowLabel: [11, be32],
  df: [13, choice(["unset", "set", "inherit"], u8)],
  innerProtoInherit: [14, flag],
} as const satisfies Table;

/** GRE_KEY of `iflags` and `oflags`: keys count only with it. Source: include/uapi/linux/if_tunnel.h. */
export const GRE_KEY = 0x2000;
const encapType = choice(["none", "fou", "gue", "mpls"], u16);

const gre = {
  link: [1, u32],
  inputFlags: [2, be16],
  outputFlags: [3, be16],
  inputKey: [4, be32],
  outputKey: [5, be32],
  local: [6, ip],
  remote: [7, ip],
  ttl: [8, u8],
  tos: [9, u8],
  pmtuDiscovery: [10, onOff],
  encapLimit: [11, u8],
  flowInfo: [12, be32],
  flags: [13, u32],
  encap: [14, encapType],
  encapFlags: [15, u16],
  encapSourcePort: [16, be16],
  encapPort: [17, be16],
  external: [18, flag],
  ignoreDf: [19, onOff],
  fwmark: [20, u32],
} as const satisfies Table;

/** ipip, sit and ip6tnl: one numbering; `flags` is 16 bits wide for sit and 32 for ip6tnl. */
function ipTunnel<F extends Codec<number>>(flags: F) {
  return {
    link: [1, u32],
    local: [2, ip],
    remote: [3, ip],
    ttl: [4, u8],
    tos: [5, u8],
    encapLimit: [6, u8],
    flowInfo: [7, be32],
    flags: [8, flags],
    /** What it carries: 4 IPv4, 41 IPv6, 137 MPLS, 0 any. */
    proto: [9, u8],
    pmtuDiscovery: [10, onOff],
    encap: [15, encapType],
    encapFlags: [16, u16],
    encapSourcePort: [17, be16],
    encapPort: [18, be16],
    external: [19, flag],
    fwmark: [20, u32],
  } as const satisfies Table;
}

const vti = {
  link: [1, u32],
  inputKey: [2, be32],
  outputKey: [3, be32],
  local: [4, ip],
  remote: [5, ip],
  fwmark: [6, u32],
} as const satisfies Table;

const netkit = {
  policy: [3, oneOf({ forward: 0, blackhole: 2 })],
  peerPolicy: [4, oneOf({ forward: 0, blackhole: 2 })],
  mode: [5, choice(["l2", "l3"])],
  primary: [2, onOff],
  scrub: [6, choice(["none", "default"])],
  peerScrub: [7, choice(["none", "default"])],
  headroom: [8, u16],
  tailroom: [9, u16],
} as const satisfies Table;

/** Only told: they are made by opening /dev/net/tun. */
const tun = {
  owner: [1, u32],
  group: [2, u32],
  type: [3, oneOf({ tun: 1, tap: 2 }, u8)],
  packetInfo: [4, onOff],
  vnetHeader: [5, onOff],
  persist: [6, onOff],
  multiQueue: [7, onOff],
  queues: [8, u32],
} as const satisfies Table;

const nothing = {} as const satisfies Table;

export const LINK_KINDS = {
  bareudp: { port: [1, be16], etherType: [2, be16], sourcePortMin: [3, u16], multiproto: [4, flag] },
  bond,
  bridge,
  dummy: nothing,
  geneve,
  gre,
  gretap: gre,
  ifb: nothing,
  ip6gre: gre,
  ip6gretap: gre,
  ip6tnl: ipTunnel(u32),
  ipip: ipTunnel(u16),
  ipvlan,
  ipvtap: ipvlan,
  macvlan,
  macvtap: macvlan,
  netkit,
  sit: ipTunnel(u16),
  tun,
  veth: nothing,
  vlan,
  vrf: { table: [1, u32] },
  vti,
  vti6: vti,
  vxlan,
  wireguard: nothing,
  xfrm: { link: [1, u32], ifId: [2, u32], external: [3, flag] },
} as const satisfies Readonly<Record<string, Table>>;

export type LinkKind = keyof typeof LINK_KINDS;
/** A kind's own attributes. */
export type LinkOptions<K extends LinkKind> = Values<(typeof LINK_KINDS)[K]>;

export function linkTable(kind: string): Table | undefined {
  return Object.hasOwn(LINK_KINDS, kind) ? LINK_KINDS[kind as LinkKind] : undefined;
}

/** What a port tells of itself to its master (`IFLA_INFO_SLAVE_DATA`). */
export const PORT_KINDS = {
  bond: {
    state: [1, choice(["active", "backup"], u8)],
    mii: [2, u8],
    failures: [3, u32],
    mac: [4, mac],
    queue: [5, u16],
  },
  bridge: {
    state: [1, choice(["disabled", "listening", "learning", "forwarding", "blocking"], u8)],
    priority: [2, u16],
    cost: [3, u32],
    hairpin: [4, onOff],
    guard: [5, onOff],
    rootBlock: [6, onOff],
    fastLeave: [7, onOff],
    learning: [8, onOff],
    flood: [9, onOff],
    isolated: [33, onOff],
  },
  vrf: { table: [1, u32] },
} as const satisfies Readonly<Record<string, Table>>;
