/** What programs hold of the kernel's and hand back to it: dynptrs, which live on the stack, and pointers to its structs. */
import type { StructType } from "../check/index.ts";
import type { Insn } from "../ir/index.ts";
import { type Context, refuse } from "./context.ts";
import { describe, pointer } from "./convert.ts";
import { opaque, SOCKET, TCP_SOCKET } from "./kernel.ts";
import type { RefVal, Val } from "./values.ts";

/** `struct bpf_dynptr`. */
export const DYNPTR: StructType = opaque("bpf_dynptr", 16, 8);

/** A fresh place for one, which nothing else shares. */
export function makeDynptr(cx: Context): RefVal {
  const slot = cx.b.slot("a Dynptr", DYNPTR.size, DYNPTR.align, true);
  return {
    k: "ref",
    type: DYNPTR,
    address: cx.b.frame(slot),
    off: 0,
    region: { kind: "stack", slot },
    nullable: false,
  };
}

export function isDynptr(v: Val): v is RefVal {
  return v.k === "ref" && !v.nullable && v.type === DYNPTR;
}

/** Sockets by BTF begin with each other: what takes one takes all of them. */
export const SOCKETS = /^(sock|sock_common|inet_sock|.*_sock|tcp_timewait_sock|tcp_request_sock)$/;

/** A pointer to the kernel's struct for a helper or a kernel function. */
export function kernelArg(cx: Context, v: Val, kernel: string, what: string, at: number): Insn {
  if (v.k !== "ref" || v.nullable) return refuse(cx, at, `${what}: expected a struct ${kernel}, got ${describe(v)}`);
  if ((v.type === SOCKET || v.type === TCP_SOCKET) && SOCKETS.test(kernel)) return pointer(cx, v);
  const given = v.type.kind === "struct" ? v.type.kernel : undefined;
  const fits = given === kernel || (given !== undefined && SOCKETS.test(given) && SOCKETS.test(kernel));
  if (!fits || v.region.kind === "probe") {
    const how = given === kernel ? `: this one is only an address` : "";
    return refuse(cx, at, `${what}: expected a struct ${kernel}, got ${describe(v)}${how}`);
  }
  return pointer(cx, v);
}
