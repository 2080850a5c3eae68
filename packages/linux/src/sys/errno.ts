/** Negative results of system calls to errors. */
import { errnoName, SysError } from "@ebplane/core/errors";

/** The error for a failed call: `what` is the call (`bpf(MAP_CREATE)`), `errno` positive. */
export function sysError(what: string, errno: number, detail = ""): SysError {
  return new SysError(what, errno, errnoName(errno), detail);
}

/** Passes a result through. @throws SysError when it is a `-errno`. */
export function check(what: string, result: number, detail = ""): number {
  if (result < 0) throw sysError(what, -result, detail);
  return result;
}
