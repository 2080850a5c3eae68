/** Reading registers as the walk does: an unset one is refused. */
import type { Context } from "../context.ts";
import { Kind, type Reg } from "../domain/reg.ts";

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
