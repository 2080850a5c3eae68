/** Sends the packet out of another interface. Source of the semantics: bpf_redirect_map in bpf-helpers(7). */
import { config, u32 } from "ebplane/bpf";
import { devices } from "../packet/devices.bpf.ts";
import type { Packet } from "../packet/packet.bpf.ts";

/** Index of the interface in the plane file. */
const TO = config("TO", u32(0));

export function run(_packet: Packet): u32 {
  return devices.redirect(TO);
}
