/**
 * The error classes of ebplane. Libraries throw these; only the command prints them.
 *
 * A message is lower case and says place, expectation, value: `slot 12: need 8 bytes at 96, have 4`.
 * TypeError and RangeError are kept for a caller's mistake, InternalError for ours. Expected answers are values, not
 * errors: a verifier's verdict, a lookup miss, a malformed packet.
 */
export * from "./errno.ts";

/** Base of all errors about input or about what a target refused. `code` is stable and machine-readable. */
export class BpfError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Bad assembly text. `line` and `col` start at 1. */
export class AsmError extends BpfError {
  readonly line: number;
  readonly col: number;
  constructor(message: string, line: number, col: number) {
    super("EASM", `${line}:${col}: ${message}`);
    this.line = line;
    this.col = col;
  }
}

/** Bytes that are not a well-formed eBPF program. `pc` counts 8-byte slots. */
export class InsnError extends BpfError {
  readonly pc: number;
  constructor(message: string, pc: number) {
    super("EINSN", `slot ${pc}: ${message}`);
    this.pc = pc;
  }
}

/** A damaged or unusable ELF object. `offset` is in bytes from the start of `section`, or of the file. */
export class ElfError extends BpfError {
  readonly section: string | undefined;
  readonly offset: number | undefined;
  constructor(message: string, where: { section?: string; offset?: number } = {}) {
    const place = [where.section, where.offset === undefined ? undefined : `offset ${where.offset}`].filter(Boolean);
    super("EELF", place.length ? `${place.join(" ")}: ${message}` : message);
    this.section = where.section;
    this.offset = where.offset;
  }
}

/** Damaged or inconsistent BTF. */
export class BtfError extends BpfError {
  readonly typeId: number | undefined;
  readonly offset: number | undefined;
  constructor(message: string, where: { typeId?: number; offset?: number } = {}) {
    const place =
      where.typeId !== undefined
        ? `type ${where.typeId}: `
        : where.offset !== undefined
          ? `offset ${where.offset}: `
          : "";
    super("EBTF", place + message);
    this.typeId = where.typeId;
    this.offset = where.offset;
  }
}

/** A damaged capture file. `offset` is the byte offset in the file, `record` the packet's number from 1. */
export class CaptureError extends BpfError {
  readonly offset: number;
  readonly record: number | undefined;
  constructor(message: string, offset: number, record?: number) {
    super("ECAPTURE", `${record === undefined ? "" : `packet ${record}: `}offset ${offset}: ${message}`);
    this.offset = offset;
    this.record = record;
  }
}

/** A program that a verifier (ours or the kernel's) refused to load. `log` is the verifier's own text. */
export class VerifierError extends BpfError {
  /** Its name in the collection. */
  readonly program: string | undefined;
  readonly pc: number | undefined;
  readonly log: string;
  constructor(message: string, detail: { program?: string; pc?: number; log: string; cause?: unknown }) {
    super("EVERIFIER", message, { cause: detail.cause });
    this.program = detail.program;
    this.pc = detail.pc;
    this.log = detail.log;
  }
}

/** One complaint of the compiler. `line` and `col` start at 1. */
export interface Diagnostic {
  readonly file: string;
  readonly line: number;
  readonly col: number;
  readonly message: string;
}

/** Source text that does not compile; the message lists every diagnostic as `file:line:col: message`. */
export class CompileError extends BpfError {
  readonly diagnostics: readonly Diagnostic[];
  constructor(diagnostics: readonly Diagnostic[]) {
    super("ECOMPILE", diagnostics.map((d) => `${d.file}:${d.line}:${d.col}: ${d.message}`).join("\n"));
    this.diagnostics = diagnostics;
  }
}

/** A system call that failed. `code` is the errno's name (`EPERM`), `errno` its number. */
export class SysError extends BpfError {
  readonly errno: number;
  readonly syscall: string;
  constructor(syscall: string, errno: number, name: string, detail = "") {
    super(name, `${syscall}: ${name}${detail ? `: ${detail}` : ""}`);
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** A feature that this target, or this kernel, does not have. */
export class UnsupportedError extends BpfError {
  readonly feature: string;
  readonly minKernel: string | undefined;
  constructor(feature: string, message: string, minKernel?: string) {
    super("EUNSUPPORTED", message + (minKernel ? ` (needs Linux ${minKernel})` : ""));
    this.feature = feature;
    this.minKernel = minKernel;
  }
}

/** A defect of ebplane itself: please report it with the message. */
export class InternalError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(`internal error, please report: ${message}`, options);
    this.name = "InternalError";
  }
}
