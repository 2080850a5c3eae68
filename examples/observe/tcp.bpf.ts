/**
 * TCP connections as they come and go: where from, where to, how they change.
 *
 *     sudo ebplane attach examples/observe/tcp.bpf.ts#changed trace
 *     sudo ebplane map events events
 *
 * `connecting` and `calling` see the same from inside of a function of the kernel, where it was built with probes.
 */
import {
  be16,
  be32,
  bytes,
  fentry,
  getCurrentComm,
  getCurrentPidTgid,
  i32,
  kernelStruct,
  kprobe,
  license,
  ringBuffer,
  struct,
  tpBtf,
  u16,
  u32,
} from "ebplane/bpf";

license("GPL");

const Common = kernelStruct("sock_common", {
  skc_family: u16,
  skc_rcv_saddr: be32,
  skc_daddr: be32,
  skc_num: u16,
  skc_dport: be16,
});
const Sock = kernelStruct("sock", { __sk_common: Common });
const AF_INET = 2;

const Change = struct({ saddr: be32, daddr: be32, sport: u16, dport: be16, from: i32, to: i32 });
export const events = ringBuffer({ maxEntries: 256 * 1024 });

/** A socket's state: 1 established, 2 SYN sent, 7 closed … (include/net/tcp_states.h). */
export const changed = tpBtf("inet_sock_set_state", (ctx) => {
  const { skc_family, skc_rcv_saddr, skc_daddr, skc_num, skc_dport } = ctx.arg(0, Sock).__sk_common;
  if (skc_family !== AF_INET) return 0;
  const e = Change({ saddr: skc_rcv_saddr, daddr: skc_daddr, sport: skc_num, dport: skc_dport });
  e.from = ctx.arg(1, i32);
  e.to = ctx.arg(2, i32);
  events.output(e);
  return 0;
});

const Call = struct({ process: u32, daddr: be32, comm: bytes(16) });
export const calls = ringBuffer({ maxEntries: 64 * 1024 });
const SockAddr = kernelStruct("sockaddr_in", { sin_addr: kernelStruct("in_addr", { s_addr: be32 }) });

/** Who calls connect(): the second argument of tcp_v4_connect is where to. */
export const connecting = kprobe("tcp_v4_connect", (ctx) => {
  const e = Call({ process: u32(getCurrentPidTgid() >> 32n), daddr: ctx.arg(1, SockAddr).sin_addr.s_addr });
  getCurrentComm(e.comm);
  calls.output(e);
  return 0;
});

/** The same with arguments that the verifier knows, without a trap. */
export const calling = fentry("tcp_connect", (ctx) => {
  const e = Call({ process: u32(getCurrentPidTgid() >> 32n), daddr: ctx.arg(0, Sock).__sk_common.skc_daddr });
  getCurrentComm(e.comm);
  calls.output(e);
  return 0;
});
