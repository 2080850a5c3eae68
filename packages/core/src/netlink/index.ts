/** Netlink without sockets: the wire format, rtnetlink's objects and requests. The kernel answers them, and so does sim. */
export * from "./bridges.ts";
export * from "./client.ts";
export type { Encap, EncapInfo, Seg6Action, Seg6Local, Seg6Mode } from "./encap.ts";
export { RTA_ENCAP, RTA_ENCAP_TYPE } from "./encap.ts";
export * from "./events.ts";
export { GRE_KEY, LINK_KINDS, type LinkKind, type LinkOptions, linkTable } from "./link-kinds.ts";
export * from "./links.ts";
export * from "./message.ts";
export * from "./nexthops.ts";
export * from "./routes.ts";
export * from "./tc.ts";
export {
  CLASS_KINDS,
  FILTER_KINDS,
  type HtbClassParams,
  type HtbParams,
  QDISC_KINDS,
  type TbfParams,
  type TcAction,
  type U32Selector,
} from "./tc-kinds.ts";
