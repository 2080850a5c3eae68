/**
 * Contexts, kinds of programs and helpers, as core's tables have them. Made by `test/declarations.ts`
 * (`UPDATE=1 npx vitest run packages/compiler/test/declarations.test.ts`); do not edit.
 */
import type { AnyMap, AnySocket, ArgumentsContext, ArrayOf, be16, be32, Dynptr, i32, i64, KernelStruct, MapOf, Memory, PacketContext, Program, ProgramOptions, RefTo, TracedContext, Type, u8, u16, u32, u64, XdpOptions } from "./bpf.js";

declare const kind: unique symbol;
/** The context of some kind of program. */
export interface AnyContext {
  readonly [kind]?: string;
}
/** A full socket: `struct bpf_sock`. Which fields a program may read depends on where it has it from. */
export interface Socket {
  boundDevIf: u32;
  family: u32;
  type: u32;
  protocol: u32;
  mark: u32;
  priority: u32;
  srcIp4: be32;
  srcIp6: ArrayOf<be32>;
  srcPort: u32;
  dstPort: be16;
  dstIp4: be32;
  dstIp6: ArrayOf<be32>;
  state: u32;
  rxQueueMapping: u32;
}
export declare const Socket: Type<Socket>;
/** `struct bpf_tcp_sock`. */
export interface TcpSocket {
  sndCwnd: u32;
  srttUs: u32;
  rttMin: u32;
  sndSsthresh: u32;
  rcvNxt: u32;
  sndNxt: u32;
  sndUna: u32;
  mssCache: u32;
  ecnFlags: u32;
  rateDelivered: u32;
  rateIntervalUs: u32;
  packetsOut: u32;
  retransOut: u32;
  totalRetrans: u32;
  segsIn: u32;
  dataSegsIn: u32;
  segsOut: u32;
  dataSegsOut: u32;
  lostOut: u32;
  sackedOut: u32;
  bytesReceived: u64;
  bytesAcked: u64;
  dsackDups: u32;
  delivered: u32;
  deliveredCe: u32;
  icskRetransmits: u32;
}
export declare const TcpSocket: Type<TcpSocket>;
/** `struct bpf_flow_keys`: what a flow dissector fills. */
export interface FlowKeys {
  nhoff: u16;
  thoff: u16;
  addrProto: u16;
  isFrag: u8;
  isFirstFrag: u8;
  isEncap: u8;
  ipProto: u8;
  nProto: be16;
  sport: be16;
  dport: be16;
  ipv4Src: be32;
  ipv4Dst: be32;
  ipv6Src: ArrayOf<be32>;
  ipv6Dst: ArrayOf<be32>;
  flags: u32;
  flowLabel: be32;
}
export declare const FlowKeys: Type<FlowKeys>;
/** `struct pt_regs` of x86-64: arguments are in di, si, dx, cx, r8, r9; a function's result in ax. */
export interface PtRegs {
  r15: u64;
  r14: u64;
  r13: u64;
  r12: u64;
  bp: u64;
  bx: u64;
  r11: u64;
  r10: u64;
  r9: u64;
  r8: u64;
  ax: u64;
  cx: u64;
  dx: u64;
  si: u64;
  di: u64;
  origAx: u64;
  ip: u64;
  cs: u64;
  flags: u64;
  sp: u64;
  ss: u64;
}
export declare const PtRegs: Type<PtRegs>;
/** `struct xdp_md`, of xdp, xdp.cpumap. */
export interface XdpContext extends AnyContext, PacketContext {
  readonly ingressIfindex: u32;
  readonly rxQueueIndex: u32;
}
/** `struct xdp_md`, of xdp.devmap. */
export interface XdpDevmapContext extends AnyContext, PacketContext {
  readonly ingressIfindex: u32;
  readonly rxQueueIndex: u32;
  readonly egressIfindex: u32;
}
/** `struct __sk_buff`, of tc.ingress, tc.egress, tc.action, netkit.primary, netkit.peer. */
export interface TcContext extends AnyContext, PacketContext {
  readonly len: u32;
  readonly pktType: u32;
  mark: u32;
  queueMapping: u32;
  readonly protocol: be16;
  readonly vlanPresent: u32;
  readonly vlanTci: u32;
  readonly vlanProto: be16;
  priority: u32;
  readonly ingressIfindex: u32;
  readonly ifindex: u32;
  tcIndex: u32;
  readonly cb: ArrayOf<u32>;
  readonly hash: u32;
  tcClassid: u32;
  readonly napiId: u32;
  tstamp: u64;
  readonly wireLen: u32;
  readonly gsoSegs: u32;
  readonly sk: Readonly<Socket> | undefined;
  readonly gsoSize: u32;
  readonly tstampType: u8;
  readonly hwtstamp: u64;
}
/** `struct __sk_buff`, of socketFilter. */
export interface SocketFilterContext extends AnyContext {
  readonly len: u32;
  readonly pktType: u32;
  readonly mark: u32;
  readonly queueMapping: u32;
  readonly protocol: be16;
  readonly vlanPresent: u32;
  readonly vlanTci: u32;
  readonly vlanProto: be16;
  readonly priority: u32;
  readonly ingressIfindex: u32;
  readonly ifindex: u32;
  readonly tcIndex: u32;
  readonly cb: ArrayOf<u32>;
  readonly hash: u32;
  readonly napiId: u32;
  readonly gsoSegs: u32;
  readonly sk: Readonly<Socket> | undefined;
  readonly gsoSize: u32;
}
/** `struct __sk_buff`, of cgroupSkb.ingress, cgroupSkb.egress. */
export interface CgroupSkbContext extends AnyContext, PacketContext {
  readonly len: u32;
  readonly pktType: u32;
  mark: u32;
  readonly queueMapping: u32;
  readonly protocol: be16;
  readonly vlanPresent: u32;
  readonly vlanTci: u32;
  readonly vlanProto: be16;
  priority: u32;
  readonly ingressIfindex: u32;
  readonly ifindex: u32;
  readonly tcIndex: u32;
  readonly cb: ArrayOf<u32>;
  readonly hash: u32;
  readonly napiId: u32;
  readonly family: u32;
  readonly remoteIp4: be32;
  readonly localIp4: be32;
  readonly remoteIp6: Readonly<ArrayOf<be32>>;
  readonly localIp6: Readonly<ArrayOf<be32>>;
  readonly remotePort: be32;
  readonly localPort: u32;
  tstamp: u64;
  readonly gsoSegs: u32;
  readonly sk: Readonly<Socket> | undefined;
  readonly gsoSize: u32;
  readonly hwtstamp: u64;
}
/** `struct bpf_sock`, of cgroupSock.create, cgroupSock.release. */
export interface CgroupSockContext extends AnyContext {
  boundDevIf: u32;
  readonly family: u32;
  readonly type: u32;
  readonly protocol: u32;
  mark: u32;
  priority: u32;
  readonly dstPort: be16;
  readonly dstIp4: be32;
  readonly dstIp6: Readonly<ArrayOf<be32>>;
  readonly state: u32;
  readonly rxQueueMapping: u32;
}
/** `struct bpf_sock`, of cgroupSock.postBind4. */
export interface PostBind4Context extends AnyContext {
  readonly family: u32;
  readonly type: u32;
  readonly protocol: u32;
  readonly srcIp4: be32;
  readonly srcPort: u32;
  readonly dstPort: be16;
  readonly dstIp4: be32;
  readonly dstIp6: Readonly<ArrayOf<be32>>;
  readonly state: u32;
  readonly rxQueueMapping: u32;
}
/** `struct bpf_sock`, of cgroupSock.postBind6. */
export interface PostBind6Context extends AnyContext {
  readonly family: u32;
  readonly type: u32;
  readonly protocol: u32;
  readonly srcIp6: Readonly<ArrayOf<be32>>;
  readonly srcPort: u32;
  readonly dstPort: be16;
  readonly dstIp4: be32;
  readonly dstIp6: Readonly<ArrayOf<be32>>;
  readonly state: u32;
  readonly rxQueueMapping: u32;
}
/** `struct bpf_sock_addr`, of cgroupSockAddr.bind4, cgroupSockAddr.connect4, cgroupSockAddr.recvmsg4, cgroupSockAddr.getpeername4, cgroupSockAddr.getsockname4. */
export interface SockAddr4Context extends AnyContext {
  readonly userFamily: u32;
  userIp4: be32;
  userPort: be16;
  readonly family: u32;
  readonly type: u32;
  readonly protocol: u32;
  readonly sk: Readonly<Socket>;
}
/** `struct bpf_sock_addr`, of cgroupSockAddr.bind6, cgroupSockAddr.connect6, cgroupSockAddr.recvmsg6, cgroupSockAddr.getpeername6, cgroupSockAddr.getsockname6. */
export interface SockAddr6Context extends AnyContext {
  readonly userFamily: u32;
  readonly userIp6: ArrayOf<be32>;
  userPort: be16;
  readonly family: u32;
  readonly type: u32;
  readonly protocol: u32;
  readonly sk: Readonly<Socket>;
}
/** `struct bpf_sock_addr`, of cgroupSockAddr.connectUnix, cgroupSockAddr.sendmsgUnix, cgroupSockAddr.recvmsgUnix, cgroupSockAddr.getpeernameUnix, cgroupSockAddr.getsocknameUnix. */
export interface SockAddrUnixContext extends AnyContext {
  readonly userFamily: u32;
  userPort: be16;
  readonly family: u32;
  readonly type: u32;
  readonly protocol: u32;
  readonly sk: Readonly<Socket>;
}
/** `struct bpf_sock_addr`, of cgroupSockAddr.sendmsg4. */
export interface Sendmsg4Context extends AnyContext {
  readonly userFamily: u32;
  userIp4: be32;
  userPort: be16;
  readonly family: u32;
  readonly type: u32;
  readonly protocol: u32;
  msgSrcIp4: be32;
  readonly sk: Readonly<Socket>;
}
/** `struct bpf_sock_addr`, of cgroupSockAddr.sendmsg6. */
export interface Sendmsg6Context extends AnyContext {
  readonly userFamily: u32;
  readonly userIp6: ArrayOf<be32>;
  userPort: be16;
  readonly family: u32;
  readonly type: u32;
  readonly protocol: u32;
  readonly msgSrcIp6: ArrayOf<be32>;
  readonly sk: Readonly<Socket>;
}
/** `struct bpf_cgroup_dev_ctx`, of cgroupDevice. */
export interface CgroupDeviceContext extends AnyContext {
  readonly accessType: u32;
  readonly major: u32;
  readonly minor: u32;
}
/** `struct bpf_sysctl`, of cgroupSysctl. */
export interface CgroupSysctlContext extends AnyContext {
  readonly write: u32;
  filePos: u32;
}
/** `struct bpf_sockopt`, of cgroupSockopt.get. */
export interface GetSockoptContext extends AnyContext, PacketContext {
  readonly sk: Readonly<Socket>;
  readonly level: i32;
  readonly optname: i32;
  optlen: i32;
  retval: i32;
}
/** `struct bpf_sockopt`, of cgroupSockopt.set. */
export interface SetSockoptContext extends AnyContext, PacketContext {
  readonly sk: Readonly<Socket>;
  level: i32;
  optname: i32;
  optlen: i32;
}
/** `struct bpf_sock_ops`, of sockOps. */
export interface SockOpsContext extends AnyContext, PacketContext {
  readonly op: u32;
  reply: u32;
  readonly args: Readonly<ArrayOf<u32>>;
  readonly family: u32;
  readonly remoteIp4: be32;
  readonly localIp4: be32;
  readonly remoteIp6: Readonly<ArrayOf<be32>>;
  readonly localIp6: Readonly<ArrayOf<be32>>;
  readonly remotePort: be32;
  readonly localPort: u32;
  readonly isFullsock: u32;
  readonly sndCwnd: u32;
  readonly srttUs: u32;
  readonly bpfSockOpsCbFlags: u32;
  readonly state: u32;
  readonly rttMin: u32;
  readonly sndSsthresh: u32;
  readonly rcvNxt: u32;
  readonly sndNxt: u32;
  readonly sndUna: u32;
  readonly mssCache: u32;
  readonly ecnFlags: u32;
  readonly rateDelivered: u32;
  readonly rateIntervalUs: u32;
  readonly packetsOut: u32;
  readonly retransOut: u32;
  readonly totalRetrans: u32;
  readonly segsIn: u32;
  readonly dataSegsIn: u32;
  readonly segsOut: u32;
  readonly dataSegsOut: u32;
  readonly lostOut: u32;
  readonly sackedOut: u32;
  skTxhash: u32;
  readonly bytesReceived: u64;
  readonly bytesAcked: u64;
  readonly sk: Readonly<Socket> | undefined;
  readonly skbLen: u32;
  readonly skbTcpFlags: u32;
  readonly skbHwtstamp: u64;
}
/** `struct sk_msg_md`, of skMsg. */
export interface SkMsgContext extends AnyContext, PacketContext {
  readonly family: u32;
  readonly remoteIp4: be32;
  readonly localIp4: be32;
  readonly remoteIp6: Readonly<ArrayOf<be32>>;
  readonly localIp6: Readonly<ArrayOf<be32>>;
  readonly remotePort: be32;
  readonly localPort: u32;
  readonly size: u32;
  readonly sk: Readonly<Socket>;
}
/** `struct __sk_buff`, of skSkb.streamParser, skSkb.streamVerdict, skSkb.verdict. */
export interface SkSkbContext extends AnyContext, PacketContext {
  readonly len: u32;
  readonly pktType: u32;
  readonly queueMapping: u32;
  readonly protocol: be16;
  readonly vlanPresent: u32;
  readonly vlanTci: u32;
  readonly vlanProto: be16;
  priority: u32;
  readonly ingressIfindex: u32;
  readonly ifindex: u32;
  tcIndex: u32;
  readonly cb: Readonly<ArrayOf<u32>>;
  readonly hash: u32;
  readonly napiId: u32;
  readonly family: u32;
  readonly remoteIp4: be32;
  readonly localIp4: be32;
  readonly remoteIp6: Readonly<ArrayOf<be32>>;
  readonly localIp6: Readonly<ArrayOf<be32>>;
  readonly remotePort: be32;
  readonly localPort: u32;
  readonly gsoSegs: u32;
  readonly sk: Readonly<Socket> | undefined;
  readonly gsoSize: u32;
}
/** `struct bpf_sk_lookup`, of skLookup. */
export interface SkLookupContext extends AnyContext {
  readonly sk: Readonly<Socket> | undefined;
  readonly family: u32;
  readonly protocol: u32;
  readonly remoteIp4: be32;
  readonly remoteIp6: Readonly<ArrayOf<be32>>;
  readonly remotePort: be16;
  readonly localIp4: be32;
  readonly localIp6: Readonly<ArrayOf<be32>>;
  readonly localPort: u32;
  readonly ingressIfindex: u32;
}
/** `struct sk_reuseport_md`, of skReuseport, skReuseport.migrate. */
export interface SkReuseportContext extends AnyContext, PacketContext {
  readonly len: u32;
  readonly ethProtocol: be16;
  readonly ipProtocol: u32;
  readonly bindInany: u32;
  readonly hash: u32;
  readonly sk: Readonly<Socket>;
  readonly migratingSk: Readonly<Socket> | undefined;
}
/** `struct __sk_buff`, of flowDissector. */
export interface FlowDissectorContext extends AnyContext, PacketContext {
  readonly flowKeys: Readonly<FlowKeys>;
}
/** `struct __sk_buff`, of lwt.in, lwt.out, lwt.xmit, lwt.seg6local. */
export interface LwtContext extends AnyContext, PacketContext {
  readonly len: u32;
  readonly pktType: u32;
  mark: u32;
  readonly queueMapping: u32;
  readonly protocol: be16;
  readonly vlanPresent: u32;
  readonly vlanTci: u32;
  readonly vlanProto: be16;
  priority: u32;
  readonly ingressIfindex: u32;
  readonly ifindex: u32;
  readonly tcIndex: u32;
  readonly cb: ArrayOf<u32>;
  readonly hash: u32;
  readonly napiId: u32;
  readonly gsoSegs: u32;
  readonly sk: Readonly<Socket> | undefined;
  readonly gsoSize: u32;
}
/** `struct bpf_nf_ctx`, of netfilter. */
export interface NetfilterContext extends AnyContext {
  readonly state: KernelStruct<"nf_hook_state">;
  readonly skb: KernelStruct<"sk_buff">;
}
/** `struct tracepoint`, of tracepoint. */
export interface TracepointContext extends AnyContext, TracedContext {
}
/** `struct bpf_raw_tracepoint_args`, of rawTracepoint. */
export interface RawTracepointContext extends AnyContext, TracedContext, ArgumentsContext {
  readonly args: Readonly<ArrayOf<u64>>;
}
/** Of tpBtf, fentry, fexit. */
export interface TracingContext extends AnyContext, ArgumentsContext {
  readonly args: Readonly<ArrayOf<u64>>;
}
/** Of iter. */
export interface IteratorContext extends AnyContext, ArgumentsContext {
  readonly args: Readonly<ArrayOf<u64>>;
}
/** `struct pt_regs`, of kprobe, kretprobe. */
export interface KprobeContext extends AnyContext, ArgumentsContext {
  readonly regs: Readonly<PtRegs>;
}
/** Programs of type xdp; sections `xdp`, `xdp/devmap`, `xdp/cpumap`. */
export declare const xdp: {
  (run: (ctx: XdpContext) => number, options?: XdpOptions): Program<XdpContext>;
  devmap(run: (ctx: XdpDevmapContext) => number, options?: XdpOptions): Program<XdpDevmapContext>;
  cpumap(run: (ctx: XdpContext) => number, options?: XdpOptions): Program<XdpContext>;
};
/** Programs of type sched_cls; sections `tc/ingress`, `tc/egress`, `action`. */
export declare const tc: {
  ingress(run: (ctx: TcContext) => number, options?: ProgramOptions): Program<TcContext>;
  egress(run: (ctx: TcContext) => number, options?: ProgramOptions): Program<TcContext>;
  action(run: (ctx: TcContext) => number, options?: ProgramOptions): Program<TcContext>;
};
/** Programs of type sched_cls; sections `netkit/primary`, `netkit/peer`. */
export declare const netkit: {
  primary(run: (ctx: TcContext) => number, options?: ProgramOptions): Program<TcContext>;
  peer(run: (ctx: TcContext) => number, options?: ProgramOptions): Program<TcContext>;
};
/** Programs of type socket_filter; sections `socket`. */
export declare const socketFilter: {
  (run: (ctx: SocketFilterContext) => number, options?: ProgramOptions): Program<SocketFilterContext>;
};
/** Programs of type cgroup_skb; sections `cgroup_skb/ingress`, `cgroup_skb/egress`. */
export declare const cgroupSkb: {
  ingress(run: (ctx: CgroupSkbContext) => number, options?: ProgramOptions): Program<CgroupSkbContext>;
  egress(run: (ctx: CgroupSkbContext) => number, options?: ProgramOptions): Program<CgroupSkbContext>;
};
/** Programs of type cgroup_sock; sections `cgroup/sock_create`, `cgroup/sock_release`, `cgroup/post_bind4`, `cgroup/post_bind6`. */
export declare const cgroupSock: {
  create(run: (ctx: CgroupSockContext) => number, options?: ProgramOptions): Program<CgroupSockContext>;
  release(run: (ctx: CgroupSockContext) => number, options?: ProgramOptions): Program<CgroupSockContext>;
  postBind4(run: (ctx: PostBind4Context) => number, options?: ProgramOptions): Program<PostBind4Context>;
  postBind6(run: (ctx: PostBind6Context) => number, options?: ProgramOptions): Program<PostBind6Context>;
};
/** Programs of type cgroup_sock_addr; sections `cgroup/bind4`, `cgroup/bind6`, `cgroup/connect4`, `cgroup/connect6`, `cgroup/connect_unix`, `cgroup/sendmsg4`, `cgroup/sendmsg6`, `cgroup/sendmsg_unix`, `cgroup/recvmsg4`, `cgroup/recvmsg6`, `cgroup/recvmsg_unix`, `cgroup/getpeername4`, `cgroup/getpeername6`, `cgroup/getpeername_unix`, `cgroup/getsockname4`, `cgroup/getsockname6`, `cgroup/getsockname_unix`. */
export declare const cgroupSockAddr: {
  bind4(run: (ctx: SockAddr4Context) => number, options?: ProgramOptions): Program<SockAddr4Context>;
  bind6(run: (ctx: SockAddr6Context) => number, options?: ProgramOptions): Program<SockAddr6Context>;
  connect4(run: (ctx: SockAddr4Context) => number, options?: ProgramOptions): Program<SockAddr4Context>;
  connect6(run: (ctx: SockAddr6Context) => number, options?: ProgramOptions): Program<SockAddr6Context>;
  connectUnix(run: (ctx: SockAddrUnixContext) => number, options?: ProgramOptions): Program<SockAddrUnixContext>;
  sendmsg4(run: (ctx: Sendmsg4Context) => number, options?: ProgramOptions): Program<Sendmsg4Context>;
  sendmsg6(run: (ctx: Sendmsg6Context) => number, options?: ProgramOptions): Program<Sendmsg6Context>;
  sendmsgUnix(run: (ctx: SockAddrUnixContext) => number, options?: ProgramOptions): Program<SockAddrUnixContext>;
  recvmsg4(run: (ctx: SockAddr4Context) => number, options?: ProgramOptions): Program<SockAddr4Context>;
  recvmsg6(run: (ctx: SockAddr6Context) => number, options?: ProgramOptions): Program<SockAddr6Context>;
  recvmsgUnix(run: (ctx: SockAddrUnixContext) => number, options?: ProgramOptions): Program<SockAddrUnixContext>;
  getpeername4(run: (ctx: SockAddr4Context) => number, options?: ProgramOptions): Program<SockAddr4Context>;
  getpeername6(run: (ctx: SockAddr6Context) => number, options?: ProgramOptions): Program<SockAddr6Context>;
  getpeernameUnix(run: (ctx: SockAddrUnixContext) => number, options?: ProgramOptions): Program<SockAddrUnixContext>;
  getsockname4(run: (ctx: SockAddr4Context) => number, options?: ProgramOptions): Program<SockAddr4Context>;
  getsockname6(run: (ctx: SockAddr6Context) => number, options?: ProgramOptions): Program<SockAddr6Context>;
  getsocknameUnix(run: (ctx: SockAddrUnixContext) => number, options?: ProgramOptions): Program<SockAddrUnixContext>;
};
/** Programs of type cgroup_device; sections `cgroup/dev`. */
export declare const cgroupDevice: {
  (run: (ctx: CgroupDeviceContext) => number, options?: ProgramOptions): Program<CgroupDeviceContext>;
};
/** Programs of type cgroup_sysctl; sections `cgroup/sysctl`. */
export declare const cgroupSysctl: {
  (run: (ctx: CgroupSysctlContext) => number, options?: ProgramOptions): Program<CgroupSysctlContext>;
};
/** Programs of type cgroup_sockopt; sections `cgroup/getsockopt`, `cgroup/setsockopt`. */
export declare const cgroupSockopt: {
  get(run: (ctx: GetSockoptContext) => number, options?: ProgramOptions): Program<GetSockoptContext>;
  set(run: (ctx: SetSockoptContext) => number, options?: ProgramOptions): Program<SetSockoptContext>;
};
/** Programs of type sock_ops; sections `sockops`. */
export declare const sockOps: {
  (run: (ctx: SockOpsContext) => number, options?: ProgramOptions): Program<SockOpsContext>;
};
/** Programs of type sk_msg; sections `sk_msg`. */
export declare const skMsg: {
  (run: (ctx: SkMsgContext) => number, options?: ProgramOptions): Program<SkMsgContext>;
};
/** Programs of type sk_skb; sections `sk_skb/stream_parser`, `sk_skb/stream_verdict`, `sk_skb/verdict`. */
export declare const skSkb: {
  streamParser(run: (ctx: SkSkbContext) => number, options?: ProgramOptions): Program<SkSkbContext>;
  streamVerdict(run: (ctx: SkSkbContext) => number, options?: ProgramOptions): Program<SkSkbContext>;
  verdict(run: (ctx: SkSkbContext) => number, options?: ProgramOptions): Program<SkSkbContext>;
};
/** Programs of type sk_lookup; sections `sk_lookup`. */
export declare const skLookup: {
  (run: (ctx: SkLookupContext) => number, options?: ProgramOptions): Program<SkLookupContext>;
};
/** Programs of type sk_reuseport; sections `sk_reuseport`, `sk_reuseport/migrate`. */
export declare const skReuseport: {
  (run: (ctx: SkReuseportContext) => number, options?: ProgramOptions): Program<SkReuseportContext>;
  migrate(run: (ctx: SkReuseportContext) => number, options?: ProgramOptions): Program<SkReuseportContext>;
};
/** Programs of type flow_dissector; sections `flow_dissector`. */
export declare const flowDissector: {
  (run: (ctx: FlowDissectorContext) => number, options?: ProgramOptions): Program<FlowDissectorContext>;
};
/** Programs of type lwt_in; sections `lwt_in`, `lwt_out`, `lwt_xmit`, `lwt_seg6local`. */
export declare const lwt: {
  in(run: (ctx: LwtContext) => number, options?: ProgramOptions): Program<LwtContext>;
  out(run: (ctx: LwtContext) => number, options?: ProgramOptions): Program<LwtContext>;
  xmit(run: (ctx: LwtContext) => number, options?: ProgramOptions): Program<LwtContext>;
  seg6local(run: (ctx: LwtContext) => number, options?: ProgramOptions): Program<LwtContext>;
};
/** Programs of type netfilter; sections `netfilter`. */
export declare const netfilter: {
  (run: (ctx: NetfilterContext) => number, options?: ProgramOptions): Program<NetfilterContext>;
};
/** Programs of type tracepoint; sections `tracepoint/`. */
export declare const tracepoint: {
  (target: string, run: (ctx: TracepointContext) => number, options?: ProgramOptions): Program<TracepointContext>;
};
/** Programs of type raw_tracepoint; sections `raw_tracepoint/`. */
export declare const rawTracepoint: {
  (target: string, run: (ctx: RawTracepointContext) => number, options?: ProgramOptions): Program<RawTracepointContext>;
};
/** Programs of type tracing; sections `tp_btf/`. */
export declare const tpBtf: {
  (target: string, run: (ctx: TracingContext) => number, options?: ProgramOptions): Program<TracingContext>;
};
/** Programs of type tracing; sections `iter/`. */
export declare const iter: {
  (target: string, run: (ctx: IteratorContext) => number, options?: ProgramOptions): Program<IteratorContext>;
};
/** Programs of type tracing; sections `fentry/`. */
export declare const fentry: {
  (target: string, run: (ctx: TracingContext) => number, options?: ProgramOptions): Program<TracingContext>;
};
/** Programs of type tracing; sections `fexit/`. */
export declare const fexit: {
  (target: string, run: (ctx: TracingContext) => number, options?: ProgramOptions): Program<TracingContext>;
};
/** Programs of type kprobe; sections `kprobe/`. */
export declare const kprobe: {
  (target: string, run: (ctx: KprobeContext) => number, options?: ProgramOptions): Program<KprobeContext>;
};
/** Programs of type kprobe; sections `kretprobe/`. */
export declare const kretprobe: {
  (target: string, run: (ctx: KprobeContext) => number, options?: ProgramOptions): Program<KprobeContext>;
};
/** `bpf_probe_read`, since 4.1; GPL only; kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm syscall. */
export declare function probeRead(to: Memory, from?: number | bigint): i32;
/** `bpf_ktime_get_ns`, since 4.1. */
export declare function ktimeGetNs(): u64;
/** `bpf_get_prandom_u32`, since 4.1. */
export declare function getPrandomU32(): u32;
/** `bpf_get_smp_processor_id`, since 4.1. */
export declare function getSmpProcessorId(): u32;
/** `bpf_skb_store_bytes`, since 4.1; the packet may move: take headers again; sched_cls sched_act lwt_xmit sk_skb. */
export declare function skbStoreBytes(ctx: AnyContext, offset: number, from: Memory, flags?: number | bigint): i32;
/** `bpf_l3_csum_replace`, since 4.1; the packet may move: take headers again; sched_cls sched_act lwt_xmit. */
export declare function l3CsumReplace(ctx: AnyContext, offset: number, from: number | bigint, to: number | bigint, flags?: number | bigint): i32;
/** `bpf_l4_csum_replace`, since 4.1; the packet may move: take headers again; sched_cls sched_act lwt_xmit. */
export declare function l4CsumReplace(ctx: AnyContext, offset: number, from: number | bigint, to: number | bigint, flags?: number | bigint): i32;
/** `bpf_clone_redirect`, since 4.2; the packet may move: take headers again; sched_cls sched_act lwt_xmit. */
export declare function cloneRedirect(ctx: AnyContext, ifindex: number, flags?: number | bigint): i32;
/** `bpf_get_current_pid_tgid`, since 4.2. */
export declare function getCurrentPidTgid(): u64;
/** `bpf_get_current_uid_gid`, since 4.2. */
export declare function getCurrentUidGid(): u64;
/** `bpf_get_current_comm`, since 4.2. */
export declare function getCurrentComm(to: Memory): i32;
/** `bpf_get_cgroup_classid`, since 4.3. */
export declare function getCgroupClassid(ctx: AnyContext): u32;
/** `bpf_skb_vlan_push`, since 4.3; the packet may move: take headers again; sched_cls sched_act. */
export declare function skbVlanPush(ctx: AnyContext, proto: be16, tci?: number): i32;
/** `bpf_skb_vlan_pop`, since 4.3; the packet may move: take headers again; sched_cls sched_act. */
export declare function skbVlanPop(ctx: AnyContext): i32;
/** `bpf_skb_get_tunnel_key`, since 4.3; sched_cls sched_act lwt_xmit. */
export declare function skbGetTunnelKey(ctx: AnyContext, key: Memory, flags?: number | bigint): i32;
/** `bpf_skb_set_tunnel_key`, since 4.3; sched_cls sched_act lwt_xmit. */
export declare function skbSetTunnelKey(ctx: AnyContext, key: Memory, flags?: number | bigint): i32;
/** `bpf_perf_event_read`, since 4.3; GPL only. */
export declare function perfEventRead(map: AnyMap, arg2?: number): i32;
/** `bpf_redirect`, since 4.4; sched_cls sched_act xdp lwt_xmit. */
export declare function redirect(ifindex: number, flags?: number | bigint): i32;
/** `bpf_get_route_realm`, since 4.4; sched_cls sched_act lwt_in lwt_out lwt_xmit lwt_seg6local. */
export declare function getRouteRealm(ctx: AnyContext): u32;
/** `bpf_perf_event_output`, since 4.4; GPL only; kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm syscall sched_cls sched_act lwt_in lwt_out lwt_xmit lwt_seg6local socket_filter xdp cgroup_skb cgroup_sock sock_ops sk_skb cgroup_device sk_msg cgroup_sock_addr cgroup_sysctl cgroup_sockopt sk_lookup. */
export declare function perfEventOutput(ctx: AnyContext, map: AnyMap, flags: number | bigint, data: Memory): i32;
/** `bpf_skb_load_bytes`, since 4.5; sched_cls sched_act lwt_in lwt_out lwt_xmit lwt_seg6local socket_filter cgroup_skb sk_skb sk_reuseport flow_dissector. */
export declare function skbLoadBytes(ctx: AnyContext, offset: number, to: Memory): i32;
/** `bpf_get_stackid`, since 4.6; GPL only; kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm syscall. */
export declare function getStackid(ctx: AnyContext, map: AnyMap, flags?: number | bigint): i32;
/** `bpf_csum_diff`, since 4.6; sched_cls sched_act lwt_in lwt_out lwt_xmit lwt_seg6local xdp. */
export declare function csumDiff(from: Memory | undefined, to: Memory | undefined, seed?: number): i64;
/** `bpf_skb_get_tunnel_opt`, since 4.6; sched_cls sched_act lwt_xmit. */
export declare function skbGetTunnelOpt(ctx: AnyContext, to: Memory): i32;
/** `bpf_skb_set_tunnel_opt`, since 4.6; sched_cls sched_act lwt_xmit. */
export declare function skbSetTunnelOpt(ctx: AnyContext, from: Memory): i32;
/** `bpf_skb_change_proto`, since 4.8; the packet may move: take headers again; sched_cls sched_act. */
export declare function skbChangeProto(ctx: AnyContext, proto: be16, flags?: number | bigint): i32;
/** `bpf_skb_change_type`, since 4.8; sched_cls sched_act. */
export declare function skbChangeType(ctx: AnyContext, type?: number): i32;
/** `bpf_skb_under_cgroup`, since 4.8; sched_cls sched_act lwt_in lwt_out lwt_xmit lwt_seg6local. */
export declare function skbUnderCgroup(ctx: AnyContext, map: AnyMap, index?: number): i32;
/** `bpf_get_hash_recalc`, since 4.8; sched_cls sched_act lwt_in lwt_out lwt_xmit lwt_seg6local. */
export declare function getHashRecalc(ctx: AnyContext): u32;
/** `bpf_get_current_task`, since 4.8; GPL only. */
export declare function getCurrentTask(): u64;
/** `bpf_probe_write_user`, since 4.8; GPL only; tracing lsm syscall kprobe tracepoint raw_tracepoint raw_tracepoint_writable perf_event. */
export declare function probeWriteUser(arg1: number, arg2: Memory): i32;
/** `bpf_current_task_under_cgroup`, since 4.9. */
export declare function currentTaskUnderCgroup(map: AnyMap, index?: number): i32;
/** `bpf_skb_change_tail`, since 4.9; the packet may move: take headers again; sched_cls sched_act lwt_xmit sk_skb. */
export declare function skbChangeTail(ctx: AnyContext, length: number, flags?: number | bigint): i32;
/** `bpf_skb_pull_data`, since 4.9; the packet may move: take headers again; sched_cls sched_act lwt_in lwt_out lwt_xmit lwt_seg6local sk_skb. */
export declare function skbPullData(ctx: AnyContext, length?: number): i32;
/** `bpf_csum_update`, since 4.9; sched_cls sched_act lwt_xmit. */
export declare function csumUpdate(ctx: AnyContext, sum?: number): i64;
/** `bpf_set_hash_invalid`, since 4.9; sched_cls sched_act lwt_xmit. */
export declare function setHashInvalid(ctx: AnyContext): i32;
/** `bpf_get_numa_node_id`, since 4.10. */
export declare function getNumaNodeId(): u32;
/** `bpf_skb_change_head`, since 4.10; the packet may move: take headers again; sched_cls sched_act lwt_xmit sk_skb. */
export declare function skbChangeHead(ctx: AnyContext, length: number, flags?: number | bigint): i32;
/** `bpf_xdp_adjust_head`, since 4.10; the packet may move: take headers again; xdp. */
export declare function xdpAdjustHead(ctx: AnyContext, delta?: number): i32;
/** `bpf_probe_read_str`, since 4.11; GPL only; kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm syscall. */
export declare function probeReadStr(to: Memory, from?: number | bigint): i32;
/** `bpf_get_socket_cookie`, since 4.12; sched_cls sched_act socket_filter cgroup_skb cgroup_sock sock_ops sk_skb cgroup_sock_addr sk_reuseport tracing lsm syscall. */
export declare function getSocketCookie(ctx: AnyContext): u64;
/** `bpf_get_socket_uid`, since 4.12; sched_cls sched_act socket_filter cgroup_skb sk_skb. */
export declare function getSocketUid(ctx: AnyContext): u32;
/** `bpf_set_hash`, since 4.13; sched_cls sched_act. */
export declare function setHash(ctx: AnyContext, hash?: number): i32;
/** `bpf_setsockopt`, since 4.13; sock_ops cgroup_sock_addr cgroup_sockopt struct_ops. */
export declare function setsockopt(ctx: AnyContext, level: number, optname: number, value: Memory): i32;
/** `bpf_skb_adjust_room`, since 4.13; the packet may move: take headers again; sched_cls sched_act sk_skb. */
export declare function skbAdjustRoom(ctx: AnyContext, delta: number, mode: number, flags?: number | bigint): i32;
/** `bpf_sk_redirect_map`, since 4.14; sk_skb. */
export declare function skRedirectMap(ctx: AnyContext, map: AnyMap, key: number, flags?: number | bigint): i32;
/** `bpf_sock_map_update`, since 4.14; sock_ops. */
export declare function sockMapUpdate<K, V>(ctx: AnyContext, map: MapOf<K, V>, key: K, flags?: number | bigint): i32;
/** `bpf_xdp_adjust_meta`, since 4.15; the packet may move: take headers again; xdp. */
export declare function xdpAdjustMeta(ctx: AnyContext, delta?: number): i32;
/** `bpf_perf_event_read_value`, since 4.15; GPL only. */
export declare function perfEventReadValue(map: AnyMap, arg2: number, arg3: Memory): i32;
/** `bpf_perf_prog_read_value`, since 4.15; GPL only; perf_event. */
export declare function perfProgReadValue(ctx: AnyContext, arg2: Memory): i32;
/** `bpf_getsockopt`, since 4.15; sock_ops cgroup_sock_addr cgroup_sockopt struct_ops. */
export declare function getsockopt(ctx: AnyContext, level: number, optname: number, to: Memory): i32;
/** `bpf_override_return`, since 4.16; GPL only; kprobe. */
export declare function overrideReturn(ctx: AnyContext, value?: number | bigint): i32;
/** `bpf_sock_ops_cb_flags_set`, since 4.16; sock_ops. */
export declare function sockOpsCbFlagsSet(ctx: AnyContext, flags?: number): i32;
/** `bpf_msg_redirect_map`, since 4.17; sk_msg. */
export declare function msgRedirectMap(ctx: AnyContext, map: AnyMap, key: number, flags?: number | bigint): i32;
/** `bpf_msg_apply_bytes`, since 4.17; sk_msg. */
export declare function msgApplyBytes(ctx: AnyContext, bytes?: number): i32;
/** `bpf_msg_cork_bytes`, since 4.17; sk_msg. */
export declare function msgCorkBytes(ctx: AnyContext, bytes?: number): i32;
/** `bpf_msg_pull_data`, since 4.17; the packet may move: take headers again; sk_msg. */
export declare function msgPullData(ctx: AnyContext, start: number, end: number, flags?: number | bigint): i32;
/** `bpf_bind`, since 4.17; cgroup_sock_addr. */
export declare function bind(ctx: AnyContext, address: Memory): i32;
/** `bpf_xdp_adjust_tail`, since 4.18; the packet may move: take headers again; xdp. */
export declare function xdpAdjustTail(ctx: AnyContext, delta?: number): i32;
/** `bpf_skb_get_xfrm_state`, since 4.18; sched_cls sched_act. */
export declare function skbGetXfrmState(ctx: AnyContext, index: number, to: Memory, flags?: number | bigint): i32;
/** `bpf_get_stack`, since 4.18; GPL only; kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm syscall. */
export declare function getStack(ctx: AnyContext, to: Memory, flags?: number | bigint): i32;
/** `bpf_skb_load_bytes_relative`, since 4.18; sched_cls sched_act socket_filter cgroup_skb sk_reuseport. */
export declare function skbLoadBytesRelative(ctx: AnyContext, offset: number, to: Memory, startHeader?: number): i32;
/** `bpf_fib_lookup`, since 4.18; GPL only; sched_cls sched_act xdp. */
export declare function fibLookup(ctx: AnyContext, params: Memory, flags?: number): i32;
/** `bpf_sock_hash_update`, since 4.18; sock_ops. */
export declare function sockHashUpdate<K, V>(ctx: AnyContext, map: MapOf<K, V>, key: K, flags?: number | bigint): i32;
/** `bpf_msg_redirect_hash`, since 4.18; sk_msg. */
export declare function msgRedirectHash<K, V>(ctx: AnyContext, map: MapOf<K, V>, key: K, flags?: number | bigint): i32;
/** `bpf_sk_redirect_hash`, since 4.18; sk_skb. */
export declare function skRedirectHash<K, V>(ctx: AnyContext, map: MapOf<K, V>, key: K, flags?: number | bigint): i32;
/** `bpf_lwt_push_encap`, since 4.18; the packet may move: take headers again; lwt_in lwt_xmit. */
export declare function lwtPushEncap(ctx: AnyContext, type: number, header: Memory): i32;
/** `bpf_lwt_seg6_store_bytes`, since 4.18; the packet may move: take headers again; lwt_seg6local. */
export declare function lwtSeg6StoreBytes(ctx: AnyContext, offset: number, from: Memory): i32;
/** `bpf_lwt_seg6_adjust_srh`, since 4.18; the packet may move: take headers again; lwt_seg6local. */
export declare function lwtSeg6AdjustSrh(ctx: AnyContext, offset: number, delta?: number): i32;
/** `bpf_lwt_seg6_action`, since 4.18; the packet may move: take headers again; lwt_seg6local. */
export declare function lwtSeg6Action(ctx: AnyContext, action: number, param: Memory): i32;
/** `bpf_rc_repeat`, since 4.18; GPL only; lirc_mode2. */
export declare function rcRepeat(ctx: AnyContext): i32;
/** `bpf_rc_keydown`, since 4.18; GPL only; lirc_mode2. */
export declare function rcKeydown(ctx: AnyContext, arg2: number, arg3: number, arg4?: number): i32;
/** `bpf_skb_cgroup_id`, since 4.18; sched_cls sched_act cgroup_skb. */
export declare function skbCgroupId(ctx: AnyContext): u64;
/** `bpf_get_current_cgroup_id`, since 4.18. */
export declare function getCurrentCgroupId(): u64;
/** `bpf_get_local_storage`, since 4.19; cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt. */
export declare function getLocalStorage<K, V>(map: MapOf<K, V>, flags?: number | bigint): RefTo<V>;
/** `bpf_sk_select_reuseport`, since 4.19; sk_reuseport. */
export declare function skSelectReuseport<K, V>(ctx: AnyContext, map: MapOf<K, V>, key: K, flags?: number | bigint): i32;
/** `bpf_skb_ancestor_cgroup_id`, since 4.19; sched_cls sched_act cgroup_skb. */
export declare function skbAncestorCgroupId(ctx: AnyContext, level?: number): u64;
/** `bpf_sk_lookup_tcp`, since 4.20; sched_cls sched_act xdp cgroup_skb sk_skb cgroup_sock_addr. */
export declare function skLookupTcp(ctx: AnyContext, tuple: Memory, netns: number | bigint, flags?: number | bigint): Readonly<Socket> | undefined;
/** `bpf_sk_lookup_udp`, since 4.20; sched_cls sched_act xdp cgroup_skb sk_skb cgroup_sock_addr. */
export declare function skLookupUdp(ctx: AnyContext, tuple: Memory, netns: number | bigint, flags?: number | bigint): Readonly<Socket> | undefined;
/** `bpf_sk_release`, since 4.20; sched_cls sched_act xdp cgroup_skb sk_skb cgroup_sock_addr sk_lookup. */
export declare function skRelease(sk: Readonly<Socket> | Readonly<TcpSocket>): i32;
/** `bpf_msg_push_data`, since 4.20; the packet may move: take headers again; sk_msg. */
export declare function msgPushData(ctx: AnyContext, start: number, length: number, flags?: number | bigint): i32;
/** `bpf_msg_pop_data`, since 5.0; the packet may move: take headers again; sk_msg. */
export declare function msgPopData(ctx: AnyContext, start: number, length: number, flags?: number | bigint): i32;
/** `bpf_rc_pointer_rel`, since 5.0; GPL only; lirc_mode2. */
export declare function rcPointerRel(ctx: AnyContext, arg2: number, arg3?: number): i32;
/** `bpf_sk_fullsock`, since 5.1; sched_cls sched_act cgroup_skb. */
export declare function skFullsock(sk: Readonly<Socket> | Readonly<TcpSocket>): Readonly<Socket> | undefined;
/** `bpf_tcp_sock`, since 5.1; sched_cls sched_act cgroup_skb sock_ops cgroup_sockopt. */
export declare function tcpSock(sk: Readonly<Socket> | Readonly<TcpSocket>): Readonly<TcpSocket> | undefined;
/** `bpf_skb_ecn_set_ce`, since 5.1; sched_cls sched_act cgroup_skb. */
export declare function skbEcnSetCe(ctx: AnyContext): i32;
/** `bpf_get_listener_sock`, since 5.1; sched_cls sched_act cgroup_skb. */
export declare function getListenerSock(sk: Readonly<Socket> | Readonly<TcpSocket>): Readonly<Socket> | undefined;
/** `bpf_skc_lookup_tcp`, since 5.2; sched_cls sched_act xdp cgroup_skb sk_skb cgroup_sock_addr. */
export declare function skcLookupTcp(ctx: AnyContext, tuple: Memory, netns: number | bigint, flags?: number | bigint): Readonly<Socket> | undefined;
/** `bpf_tcp_check_syncookie`, since 5.2; GPL only; sched_cls sched_act xdp. */
export declare function tcpCheckSyncookie(sk: Readonly<Socket> | Readonly<TcpSocket>, ip: Memory, tcp: Memory): i32;
/** `bpf_sysctl_get_name`, since 5.2; cgroup_sysctl. */
export declare function sysctlGetName(ctx: AnyContext, to: Memory, flags?: number | bigint): i32;
/** `bpf_sysctl_get_current_value`, since 5.2; cgroup_sysctl. */
export declare function sysctlGetCurrentValue(ctx: AnyContext, to: Memory): i32;
/** `bpf_sysctl_get_new_value`, since 5.2; cgroup_sysctl. */
export declare function sysctlGetNewValue(ctx: AnyContext, to: Memory): i32;
/** `bpf_sysctl_set_new_value`, since 5.2; cgroup_sysctl. */
export declare function sysctlSetNewValue(ctx: AnyContext, from: Memory): i32;
/** `bpf_strtol`, since 5.2. */
export declare function strtol(text: Memory, flags: number | bigint, to: object): i32;
/** `bpf_strtoul`, since 5.2. */
export declare function strtoul(text: Memory, flags: number | bigint, to: object): i32;
/** `bpf_sk_storage_get`, since 5.2; sched_cls sched_act cgroup_skb cgroup_sock sock_ops sk_msg cgroup_sock_addr cgroup_sockopt tracing struct_ops lsm syscall. */
export declare function skStorageGet<K, V>(map: MapOf<K, V>, sk: Readonly<Socket> | Readonly<TcpSocket>, value: V | undefined, flags?: number | bigint): RefTo<V> | undefined;
/** `bpf_sk_storage_delete`, since 5.2; sched_cls sched_act cgroup_skb sock_ops sk_msg cgroup_sock_addr cgroup_sockopt tracing struct_ops lsm syscall. */
export declare function skStorageDelete(map: AnyMap, sk: Readonly<Socket> | Readonly<TcpSocket>): i32;
/** `bpf_send_signal`, since 5.3. */
export declare function sendSignal(signal: number): i32;
/** `bpf_tcp_gen_syncookie`, since 5.3; GPL only; sched_cls sched_act xdp. */
export declare function tcpGenSyncookie(sk: Readonly<Socket> | Readonly<TcpSocket>, ip: Memory, tcp: Memory): i64;
/** `bpf_skb_output`, since 5.5; GPL only; tracing lsm syscall. */
export declare function skbOutput(arg1: KernelStruct<"sk_buff">, map: AnyMap, arg3: number, arg4: Memory): i32;
/** `bpf_probe_read_user`, since 5.5; GPL only. */
export declare function probeReadUser(to: Memory, from?: number | bigint): i32;
/** `bpf_probe_read_kernel`, since 5.5; GPL only. */
export declare function probeReadKernel(to: Memory, from?: number | bigint): i32;
/** `bpf_probe_read_user_str`, since 5.5; GPL only. */
export declare function probeReadUserStr(to: Memory, from?: number | bigint): i32;
/** `bpf_probe_read_kernel_str`, since 5.5; GPL only. */
export declare function probeReadKernelStr(to: Memory, from?: number | bigint): i32;
/** `bpf_tcp_send_ack`, since 5.5; struct_ops. */
export declare function tcpSendAck(arg1: AnySocket, arg2?: number): i32;
/** `bpf_send_signal_thread`, since 5.6. */
export declare function sendSignalThread(signal: number): i32;
/** `bpf_jiffies64`, since 5.6. */
export declare function jiffies64(): u64;
/** `bpf_read_branch_records`, since 5.7; GPL only; perf_event. */
export declare function readBranchRecords(ctx: AnyContext, arg2: Memory | undefined, arg4?: number): i32;
/** `bpf_get_ns_current_pid_tgid`, since 5.7. */
export declare function getNsCurrentPidTgid(arg1: number, arg2: number, arg3: Memory): i32;
/** `bpf_xdp_output`, since 5.7; GPL only; tracing lsm syscall. */
export declare function xdpOutput(arg1: KernelStruct<"xdp_buff">, map: AnyMap, arg3: number, arg4: Memory): i32;
/** `bpf_get_netns_cookie`, since 5.7; sched_cls sched_act socket_filter cgroup_skb cgroup_sock sock_ops sk_msg cgroup_sock_addr cgroup_sockopt. */
export declare function getNetnsCookie(ctx: AnyContext | undefined): u64;
/** `bpf_get_current_ancestor_cgroup_id`, since 5.7. */
export declare function getCurrentAncestorCgroupId(level: number): u64;
/** `bpf_sk_assign`, since 5.7; sched_cls sched_act sk_lookup. */
export declare function skAssign(ctx: AnyContext, sk: Readonly<Socket> | Readonly<TcpSocket>, flags?: number | bigint): i32;
/** `bpf_ktime_get_boot_ns`, since 5.8. */
export declare function ktimeGetBootNs(): u64;
/** `bpf_seq_write`, since 5.8; GPL only; tracing. */
export declare function seqWrite(seq: KernelStruct<"seq_file">, from: Memory): i32;
/** `bpf_sk_cgroup_id`, since 5.8; cgroup_skb. */
export declare function skCgroupId(sk: Readonly<Socket> | Readonly<TcpSocket>): u64;
/** `bpf_sk_ancestor_cgroup_id`, since 5.8; cgroup_skb. */
export declare function skAncestorCgroupId(sk: Readonly<Socket> | Readonly<TcpSocket>, level?: number): u64;
/** `bpf_ringbuf_query`, since 5.8. */
export declare function ringbufQuery(map: AnyMap, flags?: number | bigint): u64;
/** `bpf_csum_level`, since 5.8; sched_cls sched_act lwt_xmit. */
export declare function csumLevel(ctx: AnyContext, level?: number | bigint): i32;
/** `bpf_skc_to_tcp6_sock`, since 5.9; socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb sk_msg cgroup_sock_addr flow_dissector sk_lookup tracing struct_ops lsm syscall. */
export declare function skcToTcp6Sock(sk: Readonly<Socket> | Readonly<TcpSocket>): KernelStruct<"tcp6_sock"> | undefined;
/** `bpf_skc_to_tcp_sock`, since 5.9; socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb sk_msg cgroup_sock_addr flow_dissector sk_lookup tracing struct_ops lsm syscall. */
export declare function skcToTcpSock(sk: Readonly<Socket> | Readonly<TcpSocket>): KernelStruct<"tcp_sock"> | undefined;
/** `bpf_skc_to_tcp_timewait_sock`, since 5.9; socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb sk_msg cgroup_sock_addr flow_dissector sk_lookup tracing struct_ops lsm syscall. */
export declare function skcToTcpTimewaitSock(sk: Readonly<Socket> | Readonly<TcpSocket>): KernelStruct<"tcp_timewait_sock"> | undefined;
/** `bpf_skc_to_tcp_request_sock`, since 5.9; socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb sk_msg cgroup_sock_addr flow_dissector sk_lookup tracing struct_ops lsm syscall. */
export declare function skcToTcpRequestSock(sk: Readonly<Socket> | Readonly<TcpSocket>): KernelStruct<"tcp_request_sock"> | undefined;
/** `bpf_skc_to_udp6_sock`, since 5.9; socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb sk_msg cgroup_sock_addr flow_dissector sk_lookup tracing struct_ops lsm syscall. */
export declare function skcToUdp6Sock(sk: Readonly<Socket> | Readonly<TcpSocket>): KernelStruct<"udp6_sock"> | undefined;
/** `bpf_get_task_stack`, since 5.9. */
export declare function getTaskStack(task: KernelStruct<"task_struct">, to: Memory, flags?: number | bigint): i32;
/** `bpf_load_hdr_opt`, since 5.10; sock_ops. */
export declare function loadHdrOpt(ctx: AnyContext, to: Memory, flags?: number | bigint): i32;
/** `bpf_store_hdr_opt`, since 5.10; the packet may move: take headers again; sock_ops. */
export declare function storeHdrOpt(ctx: AnyContext, from: Memory, flags?: number | bigint): i32;
/** `bpf_reserve_hdr_opt`, since 5.10; sock_ops. */
export declare function reserveHdrOpt(ctx: AnyContext, length: number, flags?: number | bigint): i32;
/** `bpf_inode_storage_get`, since 5.10; lsm. */
export declare function inodeStorageGet<K, V>(map: MapOf<K, V>, arg2: KernelStruct<"inode"> | undefined, value: V | undefined, arg4?: number): RefTo<V> | undefined;
/** `bpf_inode_storage_delete`, since 5.10; lsm. */
export declare function inodeStorageDelete(map: AnyMap, arg2: KernelStruct<"inode"> | undefined): i32;
/** `bpf_d_path`, since 5.10; tracing lsm syscall. */
export declare function dPath(arg1: KernelStruct<"path">, arg2: Memory): i32;
/** `bpf_copy_from_user`, since 5.10. */
export declare function copyFromUser(arg1: Memory, arg3?: number): i32;
/** `bpf_snprintf_btf`, since 5.10. */
export declare function snprintfBtf(arg1: Memory, arg3: Memory, arg5?: number): i32;
/** `bpf_seq_printf_btf`, since 5.10; GPL only; tracing. */
export declare function seqPrintfBtf(arg1: KernelStruct<"seq_file">, arg2: Memory, arg4?: number): i32;
/** `bpf_skb_cgroup_classid`, since 5.10; sched_cls sched_act. */
export declare function skbCgroupClassid(ctx: AnyContext): u64;
/** `bpf_redirect_neigh`, since 5.10; sched_cls sched_act. */
export declare function redirectNeigh(ifindex: number, params: Memory | undefined, flags?: number | bigint): i32;
/** `bpf_redirect_peer`, since 5.10; sched_cls sched_act. */
export declare function redirectPeer(ifindex: number, flags?: number | bigint): i32;
/** `bpf_task_storage_get`, since 5.11. */
export declare function taskStorageGet<K, V>(map: MapOf<K, V>, task: KernelStruct<"task_struct"> | undefined, value: V | undefined, flags?: number | bigint): RefTo<V> | undefined;
/** `bpf_task_storage_delete`, since 5.11. */
export declare function taskStorageDelete(map: AnyMap, task: KernelStruct<"task_struct"> | undefined): i32;
/** `bpf_get_current_task_btf`, since 5.11; GPL only. */
export declare function getCurrentTaskBtf(): KernelStruct<"task_struct">;
/** `bpf_bprm_opts_set`, since 5.11; lsm. */
export declare function bprmOptsSet(arg1: KernelStruct<"linux_binprm">, arg2?: number): i32;
/** `bpf_ktime_get_coarse_ns`, since 5.11; sched_cls sched_act lwt_in lwt_out lwt_xmit lwt_seg6local socket_filter xdp cgroup_skb cgroup_sock sock_ops sk_skb sk_msg cgroup_sock_addr sk_reuseport flow_dissector cgroup_sysctl struct_ops sk_lookup. */
export declare function ktimeGetCoarseNs(): u64;
/** `bpf_ima_inode_hash`, since 5.11; lsm. */
export declare function imaInodeHash(arg1: KernelStruct<"inode">, arg2: Memory): i32;
/** `bpf_sock_from_file`, since 5.11; tracing lsm syscall. */
export declare function sockFromFile(file: KernelStruct<"file">): KernelStruct<"socket"> | undefined;
/** `bpf_check_mtu`, since 5.12; GPL only; sched_cls sched_act xdp. */
export declare function checkMtu(ctx: AnyContext, ifindex: number, length: object, delta: number, flags?: number | bigint): i32;
/** `bpf_snprintf`, since 5.13; GPL only. */
export declare function snprintf(arg1: Memory | undefined, arg3: string, arg4: Memory | undefined): i32;
/** `bpf_sys_bpf`, since 5.14; syscall. */
export declare function sysBpf(arg1: number, arg2: Memory): i32;
/** `bpf_btf_find_by_name_kind`, since 5.14; syscall. */
export declare function btfFindByNameKind(arg1: Memory, arg3: number, arg4?: number): i32;
/** `bpf_sys_close`, since 5.14; syscall. */
export declare function sysClose(arg1: number): i32;
/** `bpf_get_func_ip`, since 5.15; GPL only; kprobe tracing. */
export declare function getFuncIp(ctx: AnyContext): u64;
/** `bpf_get_attach_cookie`, since 5.15; kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm. */
export declare function getAttachCookie(ctx: AnyContext): u64;
/** `bpf_task_pt_regs`, since 5.15; GPL only. */
export declare function taskPtRegs(task: KernelStruct<"task_struct">): KernelStruct<"pt_regs">;
/** `bpf_get_branch_snapshot`, since 5.16; GPL only. */
export declare function getBranchSnapshot(arg1: Memory): i32;
/** `bpf_trace_vprintk`, since 5.16; GPL only. */
export declare function traceVprintk(arg1: Memory, arg3: Memory | undefined): i32;
/** `bpf_skc_to_unix_sock`, since 5.16; socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb sk_msg cgroup_sock_addr flow_dissector sk_lookup tracing struct_ops lsm syscall. */
export declare function skcToUnixSock(sk: Readonly<Socket> | Readonly<TcpSocket>): KernelStruct<"unix_sock"> | undefined;
/** `bpf_kallsyms_lookup_name`, since 5.16; syscall. */
export declare function kallsymsLookupName(arg1: Memory, arg3: number, arg4: object): i32;
/** `bpf_strncmp`, since 5.17. */
export declare function strncmp(text: Memory, wanted: string): i32;
/** `bpf_get_func_arg`, since 5.17; tracing lsm. */
export declare function getFuncArg(ctx: AnyContext, arg2: number, arg3: object): i32;
/** `bpf_get_func_ret`, since 5.17; tracing lsm. */
export declare function getFuncRet(ctx: AnyContext, arg2: object): i32;
/** `bpf_get_func_arg_cnt`, since 5.17; tracing lsm. */
export declare function getFuncArgCnt(ctx: AnyContext): u64;
/** `bpf_get_retval`, since 5.18; cgroup_sock cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt. */
export declare function getRetval(): i32;
/** `bpf_set_retval`, since 5.18; cgroup_sock cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt. */
export declare function setRetval(value: number): i32;
/** `bpf_xdp_get_buff_len`, since 5.18; xdp tracing lsm syscall. */
export declare function xdpGetBuffLen(ctx: AnyContext): u64;
/** `bpf_xdp_load_bytes`, since 5.18; xdp. */
export declare function xdpLoadBytes(ctx: AnyContext, offset: number, to: Memory): i32;
/** `bpf_xdp_store_bytes`, since 5.18; xdp. */
export declare function xdpStoreBytes(ctx: AnyContext, offset: number, from: Memory): i32;
/** `bpf_copy_from_user_task`, since 5.18; GPL only. */
export declare function copyFromUserTask(arg1: Memory, arg3: number, arg4: KernelStruct<"task_struct">, arg5?: number): i32;
/** `bpf_skb_set_tstamp`, since 5.18; sched_cls sched_act. */
export declare function skbSetTstamp(ctx: AnyContext, tstamp: number | bigint, type?: number): i32;
/** `bpf_ima_file_hash`, since 5.18; lsm. */
export declare function imaFileHash(arg1: KernelStruct<"file">, arg2: Memory): i32;
/** `bpf_skc_to_mptcp_sock`, since 5.19; socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb sk_msg cgroup_sock_addr flow_dissector sk_lookup tracing struct_ops lsm syscall. */
export declare function skcToMptcpSock(sk: Readonly<Socket> | Readonly<TcpSocket>): KernelStruct<"mptcp_sock"> | undefined;
/** `bpf_dynptr_from_mem`, since 5.19. */
export declare function dynptrFromMem(from: Memory, flags?: number | bigint): Dynptr;
/** `bpf_ringbuf_reserve_dynptr`, since 5.19. */
export declare function ringbufReserveDynptr(map: AnyMap, bytes: number, flags?: number | bigint): Dynptr;
/** `bpf_ringbuf_submit_dynptr`, since 5.19. */
export declare function ringbufSubmitDynptr(record: Dynptr, flags?: number | bigint): void;
/** `bpf_ringbuf_discard_dynptr`, since 5.19. */
export declare function ringbufDiscardDynptr(record: Dynptr, flags?: number | bigint): void;
/** `bpf_dynptr_read`, since 5.19. */
export declare function dynptrRead(to: Memory, data: Dynptr, offset: number, flags?: number | bigint): i32;
/** `bpf_dynptr_write`, since 5.19. */
export declare function dynptrWrite(data: Dynptr, offset: number, from: Memory, flags?: number | bigint): i32;
/** `bpf_dynptr_data`, since 5.19. */
export declare function dynptrData<T>(data: Dynptr, offset: number, type: Type<T>): RefTo<T> | undefined;
/** `bpf_tcp_raw_gen_syncookie_ipv4`, since 6.0; GPL only; sched_cls sched_act xdp. */
export declare function tcpRawGenSyncookieIpv4(ip: object, tcp: Memory): i64;
/** `bpf_tcp_raw_gen_syncookie_ipv6`, since 6.0; GPL only; sched_cls sched_act xdp. */
export declare function tcpRawGenSyncookieIpv6(ip: object, tcp: Memory): i64;
/** `bpf_tcp_raw_check_syncookie_ipv4`, since 6.0; GPL only; sched_cls sched_act xdp. */
export declare function tcpRawCheckSyncookieIpv4(ip: object, tcp: object): i32;
/** `bpf_tcp_raw_check_syncookie_ipv6`, since 6.0; GPL only; sched_cls sched_act xdp. */
export declare function tcpRawCheckSyncookieIpv6(ip: object, tcp: object): i32;
/** `bpf_ktime_get_tai_ns`, since 6.1. */
export declare function ktimeGetTaiNs(): u64;
/** `bpf_cgrp_storage_get`, since 6.2. */
export declare function cgrpStorageGet<K, V>(map: MapOf<K, V>, cgroup: KernelStruct<"cgroup"> | undefined, value: V | undefined, flags?: number | bigint): RefTo<V> | undefined;
/** `bpf_cgrp_storage_delete`, since 6.2. */
export declare function cgrpStorageDelete(map: AnyMap, cgroup: KernelStruct<"cgroup"> | undefined): i32;
/** `bpf_dynptr_from_skb`, a kernel function since 6.4; GPL only; socket_filter sched_cls sched_act tracepoint perf_event cgroup_skb cgroup_sock lwt_in lwt_out lwt_xmit sock_ops sk_skb cgroup_device cgroup_sock_addr lwt_seg6local cgroup_sysctl cgroup_sockopt tracing lsm netfilter. */
export declare function dynptrFromSkb(ctx: AnyContext | KernelStruct<"sk_buff">, flags?: number | bigint): Dynptr;
/** `bpf_dynptr_from_skb_meta`, a kernel function since 6.18; GPL only; sched_cls sched_act. */
export declare function dynptrFromSkbMeta(ctx: AnyContext, flags?: number | bigint): Dynptr;
/** `bpf_dynptr_from_xdp`, a kernel function since 6.4; GPL only; xdp. */
export declare function dynptrFromXdp(ctx: AnyContext | KernelStruct<"xdp_buff">, flags?: number | bigint): Dynptr;
/** `bpf_xdp_pull_data`, a kernel function since 6.18; GPL only; xdp. */
export declare function xdpPullData(ctx: AnyContext, len: number): i32;
/** `bpf_xdp_metadata_rx_timestamp`, a kernel function since 6.3; GPL only; xdp. */
export declare function xdpMetadataRxTimestamp(ctx: AnyContext, timestamp: object): i32;
/** `bpf_xdp_metadata_rx_hash`, a kernel function since 6.3; GPL only; xdp. */
export declare function xdpMetadataRxHash(ctx: AnyContext, hash: object, rssType: object): i32;
/** `bpf_xdp_metadata_rx_vlan_tag`, a kernel function since 6.8; GPL only; xdp. */
export declare function xdpMetadataRxVlanTag(ctx: AnyContext, vlanProto: object, vlanTci: object): i32;
/** `bpf_dynptr_slice`, a kernel function since 6.4; GPL only. */
export declare function dynptrSlice<T>(p: Dynptr, offset: number, type: Type<T>): Readonly<RefTo<T>> | undefined;
/** `bpf_dynptr_slice_rdwr`, a kernel function since 6.4; GPL only. */
export declare function dynptrSliceRdwr<T>(p: Dynptr, offset: number, type: Type<T>): RefTo<T> | undefined;
/** `bpf_dynptr_adjust`, a kernel function since 6.5; GPL only. */
export declare function dynptrAdjust(p: Dynptr, start: number, end: number): i32;
/** `bpf_dynptr_is_null`, a kernel function since 6.5; GPL only. */
export declare function dynptrIsNull(p: Dynptr): boolean;
/** `bpf_dynptr_is_rdonly`, a kernel function since 6.5; GPL only. */
export declare function dynptrIsRdonly(p: Dynptr): boolean;
/** `bpf_dynptr_size`, a kernel function since 6.5; GPL only. */
export declare function dynptrSize(p: Dynptr): u32;
/** `bpf_dynptr_clone`, a kernel function since 6.5; GPL only. */
export declare function dynptrClone(p: Dynptr): Dynptr;
/** `bpf_dynptr_copy`, a kernel function since 6.16; GPL only. */
export declare function dynptrCopy(dstPtr: Dynptr, dstOff: number, srcPtr: Dynptr, srcOff: number, size: number): i32;
/** `bpf_dynptr_memset`, a kernel function since 6.17; GPL only. */
export declare function dynptrMemset(p: Dynptr, offset: number, size: number, val: number): i32;
/** `bpf_probe_read_kernel_dynptr`, a kernel function since 6.16; GPL only. */
export declare function probeReadKernelDynptr(dptr: Dynptr, off: number, size: number, unsafePtr: bigint | object): i32;
/** `bpf_probe_read_kernel_str_dynptr`, a kernel function since 6.16; GPL only. */
export declare function probeReadKernelStrDynptr(dptr: Dynptr, off: number, size: number, unsafePtr: bigint | object): i32;
/** `bpf_probe_read_user_dynptr`, a kernel function since 6.16; GPL only. */
export declare function probeReadUserDynptr(dptr: Dynptr, off: number, size: number, unsafePtr: bigint | object): i32;
/** `bpf_probe_read_user_str_dynptr`, a kernel function since 6.16; GPL only. */
export declare function probeReadUserStrDynptr(dptr: Dynptr, off: number, size: number, unsafePtr: bigint | object): i32;
/** `bpf_copy_from_user_dynptr`, a kernel function since 6.16; GPL only. */
export declare function copyFromUserDynptr(dptr: Dynptr, off: number, size: number, unsafePtr: bigint | object): i32;
/** `bpf_copy_from_user_str_dynptr`, a kernel function since 6.16; GPL only. */
export declare function copyFromUserStrDynptr(dptr: Dynptr, off: number, size: number, unsafePtr: bigint | object): i32;
/** `bpf_copy_from_user_task_dynptr`, a kernel function since 6.16; GPL only. */
export declare function copyFromUserTaskDynptr(dptr: Dynptr, off: number, size: number, unsafePtr: bigint | object, tsk: KernelStruct<"task_struct">): i32;
/** `bpf_copy_from_user_task_str_dynptr`, a kernel function since 6.16; GPL only. */
export declare function copyFromUserTaskStrDynptr(dptr: Dynptr, off: number, size: number, unsafePtr: bigint | object, tsk: KernelStruct<"task_struct">): i32;
/** `bpf_copy_from_user_str`, a kernel function since 6.12; GPL only. */
export declare function copyFromUserStr(dst: object, unsafePtr: bigint | object, flags?: number | bigint): i32;
/** `bpf_copy_from_user_task_str`, a kernel function since 6.15; GPL only. */
export declare function copyFromUserTaskStr(dst: object, unsafePtr: bigint | object, tsk: KernelStruct<"task_struct">, flags?: number | bigint): i32;
/** `bpf_xdp_ct_lookup`, a kernel function since 5.18; GPL only; sched_cls xdp. */
export declare function xdpCtLookup(ctx: AnyContext, bpfTuple: object, opts: object): KernelStruct<"nf_conn"> | undefined;
/** `bpf_skb_ct_lookup`, a kernel function since 5.18; GPL only; sched_cls xdp. */
export declare function skbCtLookup(ctx: AnyContext, bpfTuple: object, opts: object): KernelStruct<"nf_conn"> | undefined;
/** `bpf_xdp_ct_alloc`, a kernel function since 6.0; GPL only; sched_cls xdp. */
export declare function xdpCtAlloc(ctx: AnyContext, bpfTuple: object, opts: object): KernelStruct<"nf_conn___init"> | undefined;
/** `bpf_skb_ct_alloc`, a kernel function since 6.0; GPL only; sched_cls xdp. */
export declare function skbCtAlloc(ctx: AnyContext, bpfTuple: object, opts: object): KernelStruct<"nf_conn___init"> | undefined;
/** `bpf_ct_insert_entry`, a kernel function since 6.0; GPL only; sched_cls xdp. */
export declare function ctInsertEntry(nfctI: KernelStruct<"nf_conn___init">): KernelStruct<"nf_conn"> | undefined;
/** `bpf_ct_release`, a kernel function since 5.18; GPL only; sched_cls xdp. */
export declare function ctRelease(nfct: KernelStruct<"nf_conn">): void;
/** `bpf_ct_set_timeout`, a kernel function since 6.0; GPL only; sched_cls xdp. */
export declare function ctSetTimeout(nfct: KernelStruct<"nf_conn___init">, timeout: number): void;
/** `bpf_ct_change_timeout`, a kernel function since 6.0; GPL only; sched_cls xdp. */
export declare function ctChangeTimeout(nfct: KernelStruct<"nf_conn">, timeout: number): i32;
/** `bpf_ct_set_status`, a kernel function since 6.0; GPL only; sched_cls xdp. */
export declare function ctSetStatus(nfct: KernelStruct<"nf_conn___init">, status: number): i32;
/** `bpf_ct_change_status`, a kernel function since 6.0; GPL only; sched_cls xdp. */
export declare function ctChangeStatus(nfct: KernelStruct<"nf_conn">, status: number): i32;
/** `bpf_ct_set_nat_info`, a kernel function since 6.1; GPL only; sched_cls xdp. */
export declare function ctSetNatInfo(nfct: KernelStruct<"nf_conn___init">, addr: object, port: number, manip: number): i32;
/** `bpf_skb_set_fou_encap`, a kernel function since 6.4; GPL only; sched_cls. */
export declare function skbSetFouEncap(ctx: AnyContext, encap: object, type: Type<T>): i32;
/** `bpf_skb_get_fou_encap`, a kernel function since 6.4; GPL only; sched_cls. */
export declare function skbGetFouEncap(ctx: AnyContext, encap: object): i32;
/** `bpf_xdp_get_xfrm_state`, a kernel function since 6.8; GPL only; xdp. */
export declare function xdpGetXfrmState(ctx: AnyContext, opts: object): KernelStruct<"xfrm_state"> | undefined;
/** `bpf_xdp_xfrm_state_release`, a kernel function since 6.8; GPL only; xdp. */
export declare function xdpXfrmStateRelease(x: KernelStruct<"xfrm_state">): void;
/** `bpf_sk_assign_tcp_reqsk`, a kernel function since 6.9; GPL only; sched_cls. */
export declare function skAssignTcpReqsk(ctx: AnyContext, sk: AnySocket, attrs: object): i32;
/** `bpf_sock_addr_set_sun_path`, a kernel function since 6.7; GPL only; cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt. */
export declare function sockAddrSetSunPath(ctx: AnyContext, sunPath: object): i32;
/** `bpf_sock_ops_enable_tx_tstamp`, a kernel function since 6.15; GPL only; cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt. */
export declare function sockOpsEnableTxTstamp(ctx: AnyContext, flags?: number | bigint): i32;
/** `bpf_sock_destroy`, a kernel function since 6.5; GPL only; tracing. */
export declare function sockDestroy(sock: AnySocket): i32;
/** `tcp_reno_ssthresh`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function tcpRenoSsthresh(sk: AnySocket): u32;
/** `tcp_reno_cong_avoid`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function tcpRenoCongAvoid(sk: AnySocket, ack: number, acked: number): void;
/** `tcp_reno_undo_cwnd`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function tcpRenoUndoCwnd(sk: AnySocket): u32;
/** `tcp_slow_start`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function tcpSlowStart(tp: AnySocket, acked: number): u32;
/** `tcp_cong_avoid_ai`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function tcpCongAvoidAi(tp: AnySocket, w: number, acked: number): void;
/** `cubictcp_init`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function cubictcpInit(sk: AnySocket): void;
/** `cubictcp_recalc_ssthresh`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function cubictcpRecalcSsthresh(sk: AnySocket): u32;
/** `cubictcp_cong_avoid`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function cubictcpCongAvoid(sk: AnySocket, ack: number, acked: number): void;
/** `cubictcp_state`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function cubictcpState(sk: AnySocket, newState: number): void;
/** `cubictcp_cwnd_event`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function cubictcpCwndEvent(sk: AnySocket, event: number): void;
/** `cubictcp_acked`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function cubictcpAcked(sk: AnySocket, sample: KernelStruct<"ack_sample">): void;
/** `bbr_init`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function bbrInit(sk: AnySocket): void;
/** `bbr_main`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function bbrMain(sk: AnySocket, ack: number, flag: number, rs: KernelStruct<"rate_sample">): void;
/** `bbr_sndbuf_expand`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function bbrSndbufExpand(sk: AnySocket): u32;
/** `bbr_undo_cwnd`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function bbrUndoCwnd(sk: AnySocket): u32;
/** `bbr_cwnd_event`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function bbrCwndEvent(sk: AnySocket, event: number): void;
/** `bbr_ssthresh`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function bbrSsthresh(sk: AnySocket): u32;
/** `bbr_min_tso_segs`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function bbrMinTsoSegs(sk: AnySocket): u32;
/** `bbr_set_state`, a kernel function since 5.13; GPL only; struct_ops. */
export declare function bbrSetState(sk: AnySocket, newState: number): void;
/** `bpf_cast_to_kern_ctx`, a kernel function since 6.2; GPL only. */
export declare function castToKernCtx<N extends string>(ctx: AnyContext): KernelStruct<N>;
/** `bpf_rdonly_cast`, a kernel function since 6.2; GPL only. */
export declare function rdonlyCast<T extends object>(obj: bigint | object, type: Type<T>): T;
/** `bpf_map_sum_elem_count`, a kernel function since 6.6; GPL only. */
export declare function mapSumElemCount(map: KernelStruct<"bpf_map">): i64;
/** `bpf_strcmp`, a kernel function since 6.17; GPL only. */
export declare function strcmp(s1: string | object, s2: string | object): i32;
/** `bpf_strcasecmp`, a kernel function since 6.18; GPL only. */
export declare function strcasecmp(s1: string | object, s2: string | object): i32;
/** `bpf_strchr`, a kernel function since 6.17; GPL only. */
export declare function strchr(s: string | object, c: number): i32;
/** `bpf_strchrnul`, a kernel function since 6.17; GPL only. */
export declare function strchrnul(s: string | object, c: number): i32;
/** `bpf_strnchr`, a kernel function since 6.17; GPL only. */
export declare function strnchr(s: string | object, count: number | bigint, c: number): i32;
/** `bpf_strrchr`, a kernel function since 6.17; GPL only. */
export declare function strrchr(s: string | object, c: number): i32;
/** `bpf_strlen`, a kernel function since 6.17; GPL only. */
export declare function strlen(s: string | object): i32;
/** `bpf_strnlen`, a kernel function since 6.17; GPL only. */
export declare function strnlen(s: string | object, count: number | bigint): i32;
/** `bpf_strspn`, a kernel function since 6.17; GPL only. */
export declare function strspn(s: string | object, accept: string | object): i32;
/** `bpf_strcspn`, a kernel function since 6.17; GPL only. */
export declare function strcspn(s: string | object, reject: string | object): i32;
/** `bpf_strstr`, a kernel function since 6.17; GPL only. */
export declare function strstr(s1: string | object, s2: string | object): i32;
/** `bpf_strnstr`, a kernel function since 6.17; GPL only. */
export declare function strnstr(s1: string | object, s2: string | object, len: number | bigint): i32;
/** `bpf_stream_vprintk_impl`, a kernel function since 6.17; GPL only. */
export declare function streamVprintkImpl(streamId: number, fmt: string, args: object): i32;
/** `bpf_task_acquire`, a kernel function since 6.2; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function taskAcquire(p: KernelStruct<"task_struct">): KernelStruct<"task_struct"> | undefined;
/** `bpf_task_release`, a kernel function since 6.2; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function taskRelease(p: KernelStruct<"task_struct">): void;
/** `bpf_task_from_pid`, a kernel function since 6.2; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function taskFromPid(pid: number): KernelStruct<"task_struct"> | undefined;
/** `bpf_task_from_vpid`, a kernel function since 6.13; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function taskFromVpid(vpid: number): KernelStruct<"task_struct"> | undefined;
/** `bpf_task_get_cgroup1`, a kernel function since 6.8; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function taskGetCgroup1(task: KernelStruct<"task_struct">, hierarchyId: number): KernelStruct<"cgroup"> | undefined;
/** `bpf_task_under_cgroup`, a kernel function since 6.5; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function taskUnderCgroup(task: KernelStruct<"task_struct">, ancestor: KernelStruct<"cgroup">): i64;
/** `bpf_cgroup_acquire`, a kernel function since 6.2; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function cgroupAcquire(cgrp: KernelStruct<"cgroup">): KernelStruct<"cgroup"> | undefined;
/** `bpf_cgroup_release`, a kernel function since 6.2; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function cgroupRelease(cgrp: KernelStruct<"cgroup">): void;
/** `bpf_cgroup_ancestor`, a kernel function since 6.2; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function cgroupAncestor(cgrp: KernelStruct<"cgroup">, level: number): KernelStruct<"cgroup"> | undefined;
/** `bpf_cgroup_from_id`, a kernel function since 6.4; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function cgroupFromId(cgid: number | bigint): KernelStruct<"cgroup"> | undefined;
/** `bpf_cgroup_read_xattr`, a kernel function since 6.17; GPL only. */
export declare function cgroupReadXattr(cgroup: KernelStruct<"cgroup">, name: string, valueP: Dynptr): i32;
/** `bpf_lookup_user_key`, a kernel function since 6.1; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function lookupUserKey(serial: number, flags?: number | bigint): KernelStruct<"bpf_key"> | undefined;
/** `bpf_lookup_system_key`, a kernel function since 6.1; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function lookupSystemKey(id: number | bigint): KernelStruct<"bpf_key"> | undefined;
/** `bpf_key_put`, a kernel function since 6.1; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function keyPut(bkey: KernelStruct<"bpf_key">): void;
/** `bpf_send_signal_task`, a kernel function since 6.13; GPL only; sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall. */
export declare function sendSignalTask(task: KernelStruct<"task_struct">, sig: number, type: Type<T>, value: number | bigint): i32;
/** `bpf_get_task_exe_file`, a kernel function since 6.12; GPL only; lsm. */
export declare function getTaskExeFile(task: KernelStruct<"task_struct">): KernelStruct<"file"> | undefined;
/** `bpf_put_file`, a kernel function since 6.12; GPL only; lsm. */
export declare function putFile(file: KernelStruct<"file">): void;
/** `bpf_path_d_path`, a kernel function since 6.12; GPL only; lsm. */
export declare function pathDPath(path: KernelStruct<"path">, buf: object): i32;
/** `bpf_get_file_xattr`, a kernel function since 6.8; GPL only; lsm. */
export declare function getFileXattr(file: KernelStruct<"file">, name: string, valueP: Dynptr): i32;
/** `bpf_get_dentry_xattr`, a kernel function since 6.12; GPL only; lsm. */
export declare function getDentryXattr(dentry: KernelStruct<"dentry">, name: string, valueP: Dynptr): i32;
/** `bpf_set_dentry_xattr`, a kernel function since 6.15; GPL only; lsm. */
export declare function setDentryXattr(dentry: KernelStruct<"dentry">, name: string, valueP: Dynptr, flags?: number): i32;
/** `bpf_remove_dentry_xattr`, a kernel function since 6.15; GPL only; lsm. */
export declare function removeDentryXattr(dentry: KernelStruct<"dentry">, name: string): i32;
/** `bpf_get_kmem_cache`, a kernel function since 6.13; GPL only. */
export declare function getKmemCache(addr: number | bigint): KernelStruct<"kmem_cache"> | undefined;
/** `bpf_cpumask_release`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskRelease(cpumask: KernelStruct<"bpf_cpumask">): void;
/** `bpf_cpumask_acquire`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskAcquire(cpumask: KernelStruct<"bpf_cpumask">): KernelStruct<"bpf_cpumask">;
/** `bpf_cpumask_first`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskFirst(cpumask: KernelStruct<"cpumask">): u32;
/** `bpf_cpumask_first_zero`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskFirstZero(cpumask: KernelStruct<"cpumask">): u32;
/** `bpf_cpumask_first_and`, a kernel function since 6.5; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskFirstAnd(src1: KernelStruct<"cpumask">, src2: KernelStruct<"cpumask">): u32;
/** `bpf_cpumask_set_cpu`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskSetCpu(cpu: number, cpumask: KernelStruct<"bpf_cpumask">): void;
/** `bpf_cpumask_clear_cpu`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskClearCpu(cpu: number, cpumask: KernelStruct<"bpf_cpumask">): void;
/** `bpf_cpumask_test_cpu`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskTestCpu(cpu: number, cpumask: KernelStruct<"cpumask">): boolean;
/** `bpf_cpumask_test_and_set_cpu`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskTestAndSetCpu(cpu: number, cpumask: KernelStruct<"bpf_cpumask">): boolean;
/** `bpf_cpumask_test_and_clear_cpu`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskTestAndClearCpu(cpu: number, cpumask: KernelStruct<"bpf_cpumask">): boolean;
/** `bpf_cpumask_setall`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskSetall(cpumask: KernelStruct<"bpf_cpumask">): void;
/** `bpf_cpumask_clear`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskClear(cpumask: KernelStruct<"bpf_cpumask">): void;
/** `bpf_cpumask_and`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskAnd(dst: KernelStruct<"bpf_cpumask">, src1: KernelStruct<"cpumask">, src2: KernelStruct<"cpumask">): boolean;
/** `bpf_cpumask_or`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskOr(dst: KernelStruct<"bpf_cpumask">, src1: KernelStruct<"cpumask">, src2: KernelStruct<"cpumask">): void;
/** `bpf_cpumask_xor`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskXor(dst: KernelStruct<"bpf_cpumask">, src1: KernelStruct<"cpumask">, src2: KernelStruct<"cpumask">): void;
/** `bpf_cpumask_equal`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskEqual(src1: KernelStruct<"cpumask">, src2: KernelStruct<"cpumask">): boolean;
/** `bpf_cpumask_intersects`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskIntersects(src1: KernelStruct<"cpumask">, src2: KernelStruct<"cpumask">): boolean;
/** `bpf_cpumask_subset`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskSubset(src1: KernelStruct<"cpumask">, src2: KernelStruct<"cpumask">): boolean;
/** `bpf_cpumask_empty`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskEmpty(cpumask: KernelStruct<"cpumask">): boolean;
/** `bpf_cpumask_full`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskFull(cpumask: KernelStruct<"cpumask">): boolean;
/** `bpf_cpumask_copy`, a kernel function since 6.3; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskCopy(dst: KernelStruct<"bpf_cpumask">, src: KernelStruct<"cpumask">): void;
/** `bpf_cpumask_any_distribute`, a kernel function since 6.5; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskAnyDistribute(cpumask: KernelStruct<"cpumask">): u32;
/** `bpf_cpumask_any_and_distribute`, a kernel function since 6.5; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskAnyAndDistribute(src1: KernelStruct<"cpumask">, src2: KernelStruct<"cpumask">): u32;
/** `bpf_cpumask_weight`, a kernel function since 6.8; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskWeight(cpumask: KernelStruct<"cpumask">): u32;
/** `bpf_cpumask_populate`, a kernel function since 6.15; GPL only; tracepoint perf_event tracing lsm struct_ops syscall. */
export declare function cpumaskPopulate(cpumask: KernelStruct<"cpumask">, src: object): i32;
/** `bpf_crypto_ctx_create`, a kernel function since 6.10; GPL only; syscall. */
export declare function cryptoCtxCreate(params: object, err: object): KernelStruct<"bpf_crypto_ctx"> | undefined;
/** `bpf_crypto_ctx_acquire`, a kernel function since 6.10; GPL only; syscall. */
export declare function cryptoCtxAcquire(ctx: KernelStruct<"bpf_crypto_ctx">): KernelStruct<"bpf_crypto_ctx"> | undefined;
/** `bpf_crypto_ctx_release`, a kernel function since 6.10; GPL only; syscall. */
export declare function cryptoCtxRelease(ctx: KernelStruct<"bpf_crypto_ctx">): void;
/** `bpf_crypto_encrypt`, a kernel function since 6.10; GPL only; sched_cls sched_act xdp. */
export declare function cryptoEncrypt(ctx: KernelStruct<"bpf_crypto_ctx">, src: Dynptr, dst: Dynptr, siv: Dynptr | undefined): i32;
/** `bpf_crypto_decrypt`, a kernel function since 6.10; GPL only; sched_cls sched_act xdp. */
export declare function cryptoDecrypt(ctx: KernelStruct<"bpf_crypto_ctx">, src: Dynptr, dst: Dynptr, siv: Dynptr | undefined): i32;
