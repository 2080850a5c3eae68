/** The plane's interfaces as redirect targets: key = the interface's index in the plane file. Filled at start. */
import { config, devmap, u32 } from "ebplane/bpf";

export const devices = devmap({ maxEntries: config("INTERFACES", u32(64)) });
