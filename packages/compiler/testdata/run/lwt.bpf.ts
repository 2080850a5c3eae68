//! A lightweight tunnel program reads the packet from its IP header.
//! kernel only: the simulator has no routes yet
//! run 000102030405060708090a0b0800 4500001400010000401100000a0000017f000001 -> 2
import { ipv4, lwt } from "ebplane/bpf";

export const main = lwt.in((ctx) => {
  const ip = ctx.packet().take(ipv4);
  return ip && ip.protocol === 17 ? 2 : 0;
});
