/** Wire formats: capture files, addresses, one file per protocol, the one-line printer. */
export * from "./capture.ts";
export * from "./capture-model.ts";
