/** Netlink: the wire format, the socket, rtnetlink's objects. */
export type {
  Encap,
  EncapInfo,
  Seg6Action,
  Seg6Local,
  Seg6Mode,
} from "./encap.ts";
export * from "./events.ts";
export * from "./generic.ts";
export * from "./links.ts";
export * from "./message.ts";
export * from "./routes.ts";
export * from "./socket.ts";
export * from "./tc.ts";
