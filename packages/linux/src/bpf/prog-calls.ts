/**
 * PROG_LOAD and its log. The log costs as much as verification itself, so a program is loaded without one; only a
 * refused program is tried again with a log, and that is sized by what the kernel says it needs.
 * Source: include/uapi/linux/bpf.h `union bpf_attr` (PROG_LOAD), kernel/bpf/log.c.
 */
import { Errno } from "@ebplane/core/errors";
import { SLOT } from "@ebplane/core/isa";
import { type Scratch, scratch, setPointer } from "../mem/index.ts";

import { attr, BPF_F_TOKEN_FD, bpf, Cmd, setName } from "./command.ts";

/** Records of the kernel's `bpf_func_info` or `bpf_line_info`, packed. */
export interface InfoRecords {
  readonly recordSize: number;
  readonly records: Uint8Array;
}

/** Arguments of PROG_LOAD; absent fields are 0. */
export interface ProgLoad {
  readonly type: number;
  /** Little-endian slots with every reloc filled in. */
  readonly code: Uint8Array;
  /** Default "GPL". */
  readonly license?: string;
  readonly name?: string;
  readonly flags?: number;
  readonly expectedAttachType?: number;
  /** For device-bound programs. */
  readonly ifindex?: number;
  readonly btfFd?: number;
  readonly funcInfo?: InfoRecords;
  readonly lineInfo?: InfoRecords;
  /** `bpf_core_relo` records: the kernel resolves them against its own types (since 5.17). */
  readonly coreRelos?: InfoRecords;
  readonly attachBtfId?: number;
  /** A program to extend or trace, or the BTF object of a module. */
  readonly attachFd?: number;
  /** fds that kfunc calls and map indexes refer to. */
  readonly fdArray?: readonly number[];
  /**
   * The kernel is told how long `fdArray` is (Linux 6.14): each must then be a map or a BTF object, and maps stay with the
   * program, whether its code names them or not.
   */
  readonly bindFds?: boolean;
  readonly tokenFd?: number;
  /**
   * Absent: a log only of a failure. 0: none, a refusal is not verified again. 1 the refused path, 2 every state, plus
   * 4 statistics (bits, as for the kernel): then the log is also fetched of a program that was accepted.
   */
  readonly logLevel?: number;
}

export interface ProgLoadResult {
  /** The program's fd, or `-errno`. */
  readonly fd: number;
  /** The verifier's text; "" when none was asked for or the kernel never came to verify. */
  readonly log: string;
}

const LOG_START = 1 << 16;
/** The kernel's own limit on older versions (`UINT_MAX >> 8`); a longer log keeps its end. */
const LOG_MAX = 0xffffff;
const ATTR = 152;

/** Loads a program. Never throws for the kernel's answer. */
export function progLoad(prog: ProgLoad): ProgLoadResult {
  const level = prog.logLevel ?? 0;
  if (level === 0) {
    const fd = scratch((memory) => {
      fillLoad(memory, prog);
      return run();
    });
    if (fd >= 0 || prog.logLevel === 0) return { fd, log: "" };
  }
  let size = LOG_START;
  for (;;) {
    const { fd, log, trueSize, full } = loadWithLog(prog, level || 1, size);
    if (!full || size >= LOG_MAX) return { fd, log };
    // The first answer says how much the whole log needs; kernels before 6.4 do not, so the size is doubled there.
    size = Math.min(LOG_MAX, trueSize > size ? trueSize : size * 4);
  }
}

function loadWithLog(prog: ProgLoad, level: number, size: number) {
  return scratch((memory) => {
    const buffer = memory.take(size);
    const a = fillLoad(memory, prog);
    a.setUint32(24, level, true);
    a.setUint32(28, size, true);
    setPointer(a, 32, buffer.address);
    const fd = run();
    const end = buffer.bytes.indexOf(0);
    const log = new TextDecoder().decode(buffer.bytes.slice(0, end < 0 ? size : end));
    const trueSize = a.getUint32(140, true);
    return { fd, log, trueSize, full: fd === -Errno.ENOSPC || trueSize > size };
  });
}

/** PROG_LOAD answers EAGAIN when a signal came during verification. */
function run(): number {
  let result = 0;
  for (let attempt = 0; attempt < 5; attempt++) {
    result = bpf(Cmd.PROG_LOAD, ATTR);
    if (result !== -Errno.EAGAIN) break;
  }
  return result;
}

function fillLoad(memory: Scratch, prog: ProgLoad): DataView {
  const code = memory.put(prog.code);
  const license = memory.cstring(prog.license ?? "GPL");
  const funcInfo = prog.funcInfo ? memory.put(prog.funcInfo.records) : 0;
  const lineInfo = prog.lineInfo ? memory.put(prog.lineInfo.records) : 0;
  const coreRelos = prog.coreRelos ? memory.put(prog.coreRelos.records) : 0;
  const fdArray = prog.fdArray?.length ? memory.put(new Uint8Array(Int32Array.from(prog.fdArray).buffer)) : 0;
  const a = attr(ATTR);
  a.setUint32(0, prog.type, true);
  a.setUint32(4, prog.code.length / SLOT, true);
  setPointer(a, 8, code);
  setPointer(a, 16, license);
  a.setUint32(44, (prog.flags ?? 0) | (prog.tokenFd === undefined ? 0 : BPF_F_TOKEN_FD), true);
  setName(a, 48, prog.name ?? "");
  a.setUint32(64, prog.ifindex ?? 0, true);
  a.setUint32(68, prog.expectedAttachType ?? 0, true);
  a.setUint32(72, prog.btfFd ?? 0, true);
  setInfo(a, 76, funcInfo, prog.funcInfo);
  setInfo(a, 92, lineInfo, prog.lineInfo);
  a.setUint32(108, prog.attachBtfId ?? 0, true);
  a.setUint32(112, prog.attachFd ?? 0, true);
  if (prog.coreRelos) {
    a.setUint32(116, prog.coreRelos.records.length / prog.coreRelos.recordSize, true);
    setPointer(a, 128, coreRelos);
    a.setUint32(136, prog.coreRelos.recordSize, true);
  }
  setPointer(a, 120, fdArray);
  a.setUint32(144, prog.tokenFd ?? 0, true);
  a.setUint32(148, prog.bindFds ? (prog.fdArray?.length ?? 0) : 0, true);
  return a;
}

/** A record size, a pointer (at the next multiple of 8) and a count: the same three fields for both kinds. */
function setInfo(a: DataView, at: number, address: number, info: InfoRecords | undefined): void {
  if (!info || info.records.length === 0) return;
  const pointer = (at + 4 + 7) & -8;
  a.setUint32(at, info.recordSize, true);
  setPointer(a, pointer, address);
  a.setUint32(pointer + 8, info.records.length / info.recordSize, true);
}
