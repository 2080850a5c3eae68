/** Attachments and the devices they are on. */
export * from "./ethtool.ts";
export * from "./ifindex.ts";
export * from "./xdp.ts";
