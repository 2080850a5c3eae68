/** The virtual network behind the simulator's devices. */
export { fibLookup } from "./fib-lookup.ts";
export { type SimNetns, SimNetwork } from "./network.ts";
