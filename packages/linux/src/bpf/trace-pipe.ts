/** What programs print (bpf_printk): the kernel's one pipe of it, from a tracefs that nobody else sees. */
import { constants, openSync } from "node:fs";
import { onDetachedMount } from "../mem/index.ts";

/** An fd that gives each line once, to whoever reads it first; EAGAIN while there is none. The caller closes it. */
export function openTracePipe(): number {
  return onDetachedMount("tracefs", (root) =>
    openSync(`${root}/trace_pipe`, constants.O_RDONLY | constants.O_NONBLOCK),
  );
}
