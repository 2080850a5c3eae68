/** Programs on the sockets and processes of a control group. Source: kernel/bpf/cgroup.c. */
import { closeSync, openSync } from "node:fs";
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, CGROUP_HOOKS, type CgroupHook, hookText } from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import { createLink, orderFields } from "./create.ts";
import { BpfLink, type Unwrap } from "./link.ts";
import { queryPrograms } from "./query.ts";

/** @throws TypeError for an order by a program: a link stands among links here. */
export function attachCgroup(program: LinuxProgram, hook: CgroupHook, unwrap: Unwrap): BpfLink<CgroupHook> {
  const anchor = hook.order?.before ?? hook.order?.after;
  if (anchor !== undefined && anchor !== "all" && "program" in anchor) {
    throw new TypeError("order: at a control group the neighbour is named by its link, not by its program");
  }
  return withCgroup(hook.path, (target) => {
    const attachType = AttachType[CGROUP_HOOKS[hook.type]];
    // A kernel that orders them counts the changes; others would take some orders without a word.
    if (hook.order && queryPrograms(target, attachType).revision === 0n) {
      const why = `${hookText(hook)}: this kernel runs the programs of a control group in the order they came`;
      throw new UnsupportedError("cgroup order", why, "6.16");
    }
    const fd = createLink(
      hook,
      { progFd: program.fd, target, attachType, ...orderFields(hook.order) },
      {
        [Errno.EBADF]: "not a directory of a cgroup2 file system",
        [Errno.EINVAL]: "not accepted: the program was loaded for another attach type",
      },
    );
    return new BpfLink(fd, hook, unwrap);
  });
}

/** Runs `body` with an fd of the cgroup's directory. @throws RangeError when there is none. */
export function withCgroup<T>(path: string, body: (fd: number) => T): T {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    throw new RangeError(`cgroup ${path}: no such directory`);
  }
  try {
    return body(fd);
  } finally {
    closeSync(fd);
  }
}
