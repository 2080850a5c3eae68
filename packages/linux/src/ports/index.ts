/** Devices as packet ports for a data plane in userspace. */
export * from "./packet-port.ts";
export * from "./pump.ts";
export * from "./tap.ts";
export * from "./xsk-port.ts";
