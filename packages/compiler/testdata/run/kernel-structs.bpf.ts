//! The kernel's own structs behind the context and by their addresses, at the offsets that this kernel has.
//! kernel only: the simulator has no memory of the kernel's
//! run 0102030405060708090a0b0c0d0e0f1011121314 -> 42
//! run 0202030405060708090a0b0c0d0e0f1011121314 -> 42
//! run 0302030405060708090a0b0c0d0e0f1011121314 -> 42
import { bytes, castToKernCtx, copy, enumValue, enumValueExists, equal, fieldExists, fieldOffset, fieldSize, getCurrentComm, getCurrentPidTgid, getCurrentTask, getCurrentTaskBtf, header, i32, kernelStruct, license, pointerTo, rdonlyCast, struct, typeExists, typeSize, u32, u64, u8, xdp } from "ebplane/bpf";

license("GPL");
const First = header({ kind: u8 });
const Device = kernelStruct("net_device", { ifindex: i32, name: bytes(16) });
const Queue = kernelStruct("xdp_rxq_info", { dev: pointerTo(Device), queue_index: u32 });
const Buffer = kernelStruct("xdp_buff", { rxq: pointerTo(Queue), frame_sz: u32, none_such: u32 });
const Leader = kernelStruct("task_struct", { tgid: i32 });
const Task = kernelStruct("task_struct", { pid: i32, tgid: i32, comm: bytes(16), group_leader: pointerTo(Leader) });
const Nothing = kernelStruct("no_such_struct", { a: u32 });
const Name = struct({ text: bytes(16) });

export const main = xdp((ctx) => {
  const first = ctx.header(First);
  if (!first) return 0;
  const buffer = Buffer(castToKernCtx(ctx));
  if (first.kind === 1) {
    const device = buffer.rxq?.dev;
    if (!device || device.ifindex !== i32(ctx.ingressIfindex)) return 1;
    if (buffer.frame_sz < 64 || device.name[0] === 0) return 2;
    // Of a field that this kernel has not, nothing but its absence is asked.
    if (fieldExists(Buffer, "none_such")) return i32(buffer.none_such);
    if (!fieldExists(Buffer, "frame_sz") || fieldSize(Task, "comm") !== 16) return 3;
    if (typeExists(Nothing) || !typeExists(Task) || typeSize(Task) <= fieldOffset(Task, "comm")) return 4;
    if (!enumValueExists("bpf_map_type", "BPF_MAP_TYPE_ARENA") || enumValueExists("bpf_map_type", "NONE")) return 5;
    return enumValue("bpf_map_type", "BPF_MAP_TYPE_RINGBUF") === 27 ? 42 : 6;
  }
  const who = getCurrentPidTgid();
  const comm = Name();
  getCurrentComm(comm.text);
  const mine = Name();
  if (first.kind === 2) {
    const task = Task(getCurrentTaskBtf());
    copy(mine.text, task.comm);
    if (u64(u32(task.tgid)) !== who >> 32n || !equal(mine, comm)) return 1;
    return task.group_leader?.tgid === task.tgid ? 42 : 2;
  }
  const task = Task(getCurrentTask());
  copy(mine.text, task.comm);
  if (u32(task.pid) !== u32(who) || !equal(task.comm, comm.text) || !equal(mine, comm)) return 3;
  const leader = rdonlyCast(getCurrentTask(), Leader);
  return task.group_leader?.tgid === leader.tgid && task.comm[0] === comm.text[0] ? 42 : 4;
});
