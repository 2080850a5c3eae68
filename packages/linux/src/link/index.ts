/** Attachments and the devices they are on. */
export * from "./attach.ts";
export * from "./cgroup.ts";
export * from "./describe.ts";
export * from "./ethtool.ts";
export * from "./ifindex.ts";
export * from "./link.ts";
export * from "./query.ts";
export { attachClassicFilter, SOCKMAP_TYPES } from "./sockets.ts";
export { attachXdp } from "./xdp.ts";
