/**
 * Where things stand in a machine's memory, for every engine: the per-CPU block that programs and helpers share with
 * the outside, and the ctx of each kind of hook. All words are little-endian 32-bit unless said otherwise.
 *
 * A ctx begins with the kernel's own struct, so that unmodified bytecode reads it; what helpers need beyond it follows,
 * in bytes that no verified program can reach.
 */

/** The CPU block: offsets from `machine.cpuBlock`. */
export const CPU = {
  /** High half of the last helper result that is 64 bits wide (result kind `w`). */
  RESULT_HI: 0,
  /** High half of r0 after a run. */
  R0_HI: 4,
  /** Tail calls made in this run. */
  TAIL_CALLS: 8,
  /** Why code of the JIT trapped; 0 for wasm's own traps. */
  TRAP: 12,
  /**
   * What the last redirect helper asked for: `REDIRECT`, target (ifindex, or key in a map),
   * the map's address, flags (low half). Cleared by the reader.
   */
  REDIRECT_KIND: 16,
  REDIRECT_TARGET: 20,
  REDIRECT_MAP: 24,
  REDIRECT_FLAGS: 28,
  /** for_each_map_elem over arrays: which of the 8 key slots is next, and the slots (8 bytes each). */
  WALKS: 32,
  WALK_KEYS: 64,
  /** The struct bpf_redir_neigh of the last redirect_neigh, where REDIRECT_MAP says so. */
  REDIRECT_NEIGH: 128,
  /** The key that an array's timer callback gets, and the one that redirect_map looks up. */
  TIMER_KEY: 152,
  REDIRECT_KEY: 156,
  /** The dynptr that user_ringbuf_drain gives to its callback. */
  DRAIN_DYNPTR: 160,
  /** What a cgroup hook returns so far: get_retval, set_retval. */
  RETVAL: 176,
  SIZE: 192,
} as const;

/** Values of `CPU.REDIRECT_KIND`. */
export const REDIRECT = { NONE: 0, IFINDEX: 1, MAP: 2, PEER: 3, NEIGH: 4, MAP_BROADCAST: 5, SOCKET: 6 } as const;

/** struct xdp_md, then ours. Source: include/uapi/linux/bpf.h; include/net/xdp.h for the buffer around the data. */
export const XDP = {
  DATA: 0,
  DATA_END: 4,
  DATA_META: 8,
  INGRESS_IFINDEX: 12,
  RX_QUEUE_INDEX: 16,
  EGRESS_IFINDEX: 20,
  /** First byte of the frame's buffer; headroom begins here. */
  HARD_START: 24,
  /** Bytes of the frame's buffer that data may occupy, headroom included. */
  FRAME_SIZE: 28,
  /** Number of fragments beyond the linear part, and the address of their list: see FRAG. */
  FRAGS: 32,
  FRAG_LIST: 36,
  /** What the device said of the frame: `XDP_HINT` bits, then each value (VLAN: protocol, then TCI). */
  HINTS: 40,
  HINT_HASH_TYPE: 44,
  HINT_HASH: 48,
  HINT_VLAN: 52,
  HINT_TIMESTAMP: 56,
  /** From one ctx of a ring to the next. */
  STRIDE: 64,
} as const;

/** Bits of `XDP.HINTS`; without `ANY` the device has no metadata at all. */
export const XDP_HINT = { ANY: 1, TIMESTAMP: 2, HASH: 4, VLAN: 8 } as const;

/** One fragment in a list: its data, their length, and how long they may grow in their page. */
export const FRAG = { ADDRESS: 0, LENGTH: 4, ROOM: 8, SIZE: 12 } as const;

/** Room in front of the data, and what the kernel keeps behind it. Source: include/uapi/linux/bpf.h XDP_PACKET_HEADROOM. */
export const XDP_HEADROOM = 256;
/** sizeof(struct xdp_frame) on a 64-bit 6.18: head adjusts must leave it free. */
export const XDP_FRAME_STRUCT = 40;
/** A page, of which the skb_shared_info (320 bytes) at its end is not for data. */
export const XDP_PAGE = 4096;
export const XDP_TAIL_RESERVED = 320;

/** Bytes that an skb may grow to by helpers: SKB_MAX_ALLOC of a kernel with 4 KiB pages. */
export const SKB_MAX_LENGTH = 16064;

/** struct __sk_buff, then ours. Source: include/uapi/linux/bpf.h of 6.18. */
export const SKB = {
  LEN: 0,
  PKT_TYPE: 4,
  MARK: 8,
  QUEUE_MAPPING: 12,
  PROTOCOL: 16,
  VLAN_PRESENT: 20,
  VLAN_TCI: 24,
  VLAN_PROTO: 28,
  PRIORITY: 32,
  INGRESS_IFINDEX: 36,
  IFINDEX: 40,
  TC_INDEX: 44,
  CB: 48,
  HASH: 68,
  TC_CLASSID: 72,
  DATA: 76,
  DATA_END: 80,
  NAPI_ID: 84,
  FAMILY: 88,
  REMOTE_IP4: 92,
  LOCAL_IP4: 96,
  REMOTE_IP6: 100,
  LOCAL_IP6: 116,
  REMOTE_PORT: 132,
  LOCAL_PORT: 136,
  DATA_META: 140,
  FLOW_KEYS: 144,
  TSTAMP: 152,
  WIRE_LEN: 160,
  GSO_SEGS: 164,
  SK: 168,
  GSO_SIZE: 176,
  TSTAMP_TYPE: 180,
  HWTSTAMP: 184,
  /** End of the kernel's struct. */
  PUBLIC: 192,
  /** First byte of the head buffer and the byte after its last. */
  HEAD: 192,
  END: 196,
  /** Addresses of the link and network header. */
  MAC: 200,
  NETWORK: 204,
  /** Bytes that are not linear, and where they are. */
  NONLINEAR: 208,
  NONLINEAR_AT: 212,
  /** Non-zero while the packet begins with its link header (tc ingress, XDP); zero at LWT and cgroup hooks. */
  HAS_MAC: 216,
  /** Where the payload checksum stands: CHECKSUM_NONE 0, UNNECESSARY 1, COMPLETE 2, PARTIAL 3, and its sum. */
  IP_SUMMED: 220,
  CSUM: 224,
  /** Set by skb_change_type and friends where the kernel keeps it outside of __sk_buff. */
  GSO_TYPE: 228,
  ENCAPSULATION: 232,
  /** Tunnel metadata: see TUNNEL. */
  TUNNEL: 256,
  STRIDE: 640,
} as const;

/** Tunnel metadata of an skb, from SKB.TUNNEL on. Addresses in network order, 4 or 16 bytes by family. */
export const TUNNEL = {
  /** AF_INET or AF_INET6; 0 without metadata. */
  FAMILY: 0,
  /** 1 when a program set it (the packet goes out), 0 when a device did. */
  SET_BY_PROGRAM: 4,
  ID: 8,
  TOS: 12,
  TTL: 13,
  /** TUNNEL_* bits, big-endian as the kernel shows them. */
  FLAGS: 14,
  LABEL: 16,
  SRC: 20,
  DST: 36,
  OPTIONS_LENGTH: 52,
  OPTIONS: 56,
  /** FOU or GUE around the tunnel: 1 or 2, and both ports as given. */
  ENCAP_TYPE: 312,
  ENCAP_PORTS: 316,
  SIZE: 320,
} as const;

/**
 * Beyond the kernel's struct of every other hook (ctx/hook.ts): offsets from the ctx. `DATA` to `DATA_END` is all of the
 * data, of which the struct's own pointers show a part; `BUFFER` to `BUFFER_END` what helpers may use around it.
 */
export const HOOK = {
  PRIVATE: 256,
  DATA: 256,
  DATA_END: 260,
  BUFFER: 264,
  BUFFER_END: 268,
  /** Offset of the struct's packet pointer, the end's is 8 further (sockopt, sk_msg …); 0 where `DATA` is NULL. */
  DATA_FIELD: 272,
  HAS_DATA: 276,
  /** sk_msg: bytes that the verdict holds for, bytes to wait for, bytes of the first piece. */
  APPLY_BYTES: 280,
  CORK_BYTES: 284,
  FIRST_PIECE: 288,
  /** sock_ops: bytes of TCP options that may still be reserved or written. */
  OPTION_ROOM: 292,
  /** sysctl: address and length of name, current and new value; whether a program set the new one. */
  SYSCTL_NAME: 296,
  SYSCTL_CURRENT: 304,
  SYSCTL_NEW: 312,
  SYSCTL_UPDATED: 320,
  /** sk_lookup: the socket that was assigned, and whether its reuseport group is left aside. */
  SELECTED: 324,
  NO_REUSEPORT: 328,
  /** Tracing: how many arguments stand in the ctx; the return value follows them. The function's address, a cookie. */
  ARGUMENTS: 332,
  FUNCTION: 336,
  COOKIE: 344,
  /** Non-zero where the data is a part of a packet that helpers reach as a whole. */
  FROM_SKB: 352,
  STRIDE: 384,
} as const;

/** struct bpf_flow_keys, and where a flow dissector's `__sk_buff` points to it. */
export const FLOW = { NHOFF: 0, THOFF: 2, N_PROTO: 10, FLAGS: 48, CTX_KEYS: 144 } as const;

/** Behind a struct bpf_sock (ctx/socket.ts): its struct bpf_tcp_sock, owner and cgroup. */
export const SOCKET_CTX = { TCP: 96, UID: 208, CGROUP: 216, SIZE: 256 } as const;
