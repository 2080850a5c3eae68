/** Registers as the walk reads them (an unset one is refused), and what all of them lose when packet data moves. */
import type { Context } from "../context.ts";
import { isPacket, Kind, PACKET_SLICE, type Reg, unknownReg } from "../domain/reg.ts";
import { mapRegs } from "../domain/state.ts";

/** The register's value; refuses one that no insn of this path has set. */
export function readReg(cx: Context, n: number): Reg {
  const r = cx.reg(n);
  if (r.kind !== Kind.NOT_INIT) return r;
  const why =
    n >= 1 && n <= 5
      ? "a call before it destroyed r1 to r5, or nothing has set it on this path"
      : "nothing has set it on this path";
  return cx.reject("uninitialised", `r${n} is read, but ${why}`, {
    register: n,
    fix: `set r${n} before this instruction`,
  });
}

/** Packet data may have moved: what pointed into it is a meaningless number now. */
export function forgetPacket(cx: Context): void {
  mapRegs(cx.state, (r) =>
    isPacket(r) || r.kind === Kind.PACKET_END || (r.kind === Kind.MEM && r.flags & PACKET_SLICE) ? unknownReg() : r,
  );
}
