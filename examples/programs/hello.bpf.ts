/**
 * Says hello whenever a program is started, and counts it by user.
 *
 *     sudo ebplane attach examples/programs/hello.bpf.ts#hello tracepoint:syscalls/sys_enter_execve
 *     sudo cat /sys/kernel/tracing/trace_pipe
 */
import { getCurrentPidTgid, getCurrentUidGid, hash, license, printk, tracepoint, u32, u64 } from "ebplane/bpf";

license("GPL");

export const starts = hash(u32, u64, { maxEntries: 1024 });

export const hello = tracepoint("syscalls/sys_enter_execve", () => {
  const uid = u32(getCurrentUidGid());
  const n = starts.lookup(uid);
  if (n) n.value += 1n;
  else starts.update(uid, 1n);
  printk("hello from process %d of user %d", getCurrentPidTgid() >> 32n, uid);
  return 0;
});
