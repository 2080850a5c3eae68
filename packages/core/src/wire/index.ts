/** Wire formats: capture files, addresses, one file per protocol, the one-line printer. */
export * from "./address.ts";
export * from "./capture.ts";
export * from "./capture-model.ts";
export * from "./checksum.ts";
