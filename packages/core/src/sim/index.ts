/** The network simulator: devices and hooks around the machine, as a `Target`. */
export * from "./device.ts";
export { type SimNetns, SimNetwork } from "./network/index.ts";
export * from "./target.ts";
export { SKB_TEST_TYPES, TestSkb } from "./test-run-skb.ts";
