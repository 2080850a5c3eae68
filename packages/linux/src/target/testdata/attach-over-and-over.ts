/** Attaches an XDP program to a device of its namespace and lets it go, without end: another process looks on. */
import { Errno, SysError } from "@ebplane/core/errors";
import { asmProgram, collectionOf } from "../../testing.ts";
import { linuxTarget } from "../target.ts";

const target = linuxTarget();
const loaded = target.load(collectionOf([asmProgram("over", 6, "r0 = 2\nexit")]));
console.log("ready");
for (;;) {
  try {
    target.attach(loaded.programs.get("over")!, { kind: "xdp", iface: process.argv[2]!, mode: "native" }).close();
  } catch (error) {
    // Who looks at a link holds it for that moment: it is still there when its maker has closed it.
    if (!(error instanceof SysError) || error.errno !== Errno.EBUSY) throw error;
  }
}
