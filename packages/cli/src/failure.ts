/**
 * How a command ends: 0 done, 1 the answer is no (rejected, differs), 2 usage or bad input. A user's mistake is one
 * clear line, never a stack trace.
 */
import { BpfError, InternalError, VerifierError } from "@ebplane/core/errors";

/** A mistake on the command line. */
export class UsageError extends Error {}

/** Marks a command as answered with no; what there is to say has been printed. */
export function answerNo(): void {
  process.exitCode = 1;
}

/** Prints what went wrong and sets the exit code. */
export function reportFailure(error: unknown): void {
  process.exitCode = error instanceof VerifierError ? 1 : 2;
  process.stderr.write(`${explain(error)}\n`);
}

function explain(error: unknown): string {
  if (error instanceof InternalError) return error.stack ?? error.message;
  if (error instanceof BpfError || error instanceof UsageError) return error.message;
  if (error instanceof RangeError || error instanceof TypeError) {
    // The libraries' own argument checks; a TypeError of the language itself is our defect and shows where it came from.
    return process.env.EBPLANE_DEBUG ? (error.stack ?? error.message) : error.message;
  }
  const system = error as NodeJS.ErrnoException;
  if (system?.syscall && system.code) return `${system.path ?? system.syscall}: ${systemText(system.code)}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function systemText(code: string): string {
  const texts: Record<string, string> = {
    ENOENT: "no such file",
    EISDIR: "is a directory, expected a file",
    EACCES: "permission denied",
    EPERM: "not permitted",
    ENOSPC: "no space left on the device",
    ENOTDIR: "not a directory",
  };
  return texts[code] ?? code;
}
