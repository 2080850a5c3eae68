/** The network simulator: devices and hooks around the machine, as a `Target`. */
export * from "./device.ts";
export * from "./target.ts";
