/** Sends the packet out of another interface. Source of the semantics: bpf_redirect_map in bpf-helpers(7). */
import { config, u16, u32 } from "ebplane/bpf";
import { devices } from "../packet/devices.bpf.ts";
import type { Packet } from "../packet/packet.bpf.ts";
import { CONTINUE } from "../packet/verdict.bpf.ts";

/** Index of the interface in the plane file. */
const TO = config("TO", u32(0));
const ANY_VLAN = 0xffff;
const VLAN = config("VLAN", u16(ANY_VLAN));

export function run(packet: Packet): u32 {
  if (VLAN !== ANY_VLAN && (u16(packet.kind >> 16n) & 0xfff) !== VLAN) return CONTINUE;
  return devices.redirect(TO);
}
