/**
 * Which program each process starts, and who started it: a record for every exec.
 *
 *     sudo ebplane attach examples/observe/exec.bpf.ts#started trace
 *     sudo ebplane map events events
 */
import {
  address,
  bytes,
  copy,
  i32,
  kernelStruct,
  license,
  pointerTo,
  probeReadKernelStr,
  ringBuffer,
  struct,
  tpBtf,
} from "ebplane/bpf";

license("GPL");

const Parent = kernelStruct("task_struct", { tgid: i32, comm: bytes(16) });
const Task = kernelStruct("task_struct", { tgid: i32, comm: bytes(16), real_parent: pointerTo(Parent) });
const Binary = kernelStruct("linux_binprm", { filename: address });

const Started = struct({ process: i32, parent: i32, comm: bytes(16), parentComm: bytes(16), file: bytes(64) });
export const events = ringBuffer({ maxEntries: 256 * 1024 });

export const started = tpBtf("sched_process_exec", (ctx) => {
  const task = ctx.arg(0, Task);
  const e = Started({ process: task.tgid });
  copy(e.comm, task.comm);
  const parent = task.real_parent;
  if (parent) {
    e.parent = parent.tgid;
    copy(e.parentComm, parent.comm);
  }
  probeReadKernelStr(e.file, ctx.arg(2, Binary).filename);
  events.output(e);
  return 0;
});
