/** Netlink on the kernel: the sockets, and what core has of the wire format and rtnetlink. */
export * from "@ebplane/core/netlink";
export * from "./generic.ts";
export * from "./socket.ts";
export * from "./watch.ts";
