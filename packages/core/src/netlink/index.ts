/** Netlink without sockets: the wire format, rtnetlink's objects and requests. The kernel answers them, and so does sim. */
export * from "./client.ts";
export type { Encap, EncapInfo, Seg6Action, Seg6Local, Seg6Mode } from "./encap.ts";
export { RTA_ENCAP, RTA_ENCAP_TYPE } from "./encap.ts";
export * from "./events.ts";
export * from "./links.ts";
export * from "./message.ts";
export * from "./routes.ts";
export * from "./tc.ts";
