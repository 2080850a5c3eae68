/**
 * One attachment as an object. Most are bpf_links: an fd that detaches when its last holder lets go, so neither an
 * exception nor kill -9 leaves a program attached. A few older hooks have no link: theirs is a pair of functions.
 */
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import { type Hook, hookText, type Link, type Program } from "@ebplane/core/object";
import {
  Cmd,
  cmdName,
  type LinkInfo,
  type LinuxProgram,
  linkDetach,
  linkInfo,
  objPin,
  tryLinkUpdate,
} from "../bpf/index.ts";
import { check, close, sysError } from "../sys/index.ts";

/** The live program of the linux target behind the interface; links take programs for `update` through it. */
export type Unwrap = (program: Program) => LinuxProgram;

export interface LinkMode {
  readonly mode: "native" | "generic";
  readonly fallbackReason?: string;
}

/** An attachment that the kernel keeps as a bpf_link. */
export class BpfLink<H extends Hook> implements Link<H> {
  readonly hook: H;
  readonly id: number;
  readonly mode: "native" | "generic";
  readonly fallbackReason: string | undefined;
  readonly #unwrap: Unwrap;
  readonly #beside: readonly number[];
  #fd: number;

  /** Takes over `fd`, and the fds `beside` it that have to live as long (a perf event). */
  constructor(fd: number, hook: H, unwrap: Unwrap, how: LinkMode = { mode: "native" }, beside: readonly number[] = []) {
    this.#fd = fd;
    this.#unwrap = unwrap;
    this.#beside = beside;
    this.hook = hook;
    this.mode = how.mode;
    this.fallbackReason = how.fallbackReason;
    this.id = linkInfo(fd).id;
  }

  /** The link's file descriptor; it stays this object's. @throws TypeError after `close`. */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError(`link on ${hookText(this.hook)}: is closed`);
    return this.#fd;
  }

  info(): LinkInfo {
    return linkInfo(this.fd);
  }

  /**
   * With `expected` only if that program is in place now.
   * @throws UnsupportedError for netfilter and tracing links: the kernel has no replacement there; SysError EPERM when
   * another program than the expected one is in place.
   */
  update(program: Program, expected?: Program): void {
    const result = tryLinkUpdate(this.fd, this.#unwrap(program).fd, expected && this.#unwrap(expected).fd);
    if (result === -Errno.EOPNOTSUPP) throw noUpdate(this.hook);
    if (result === -Errno.EPERM && expected) {
      const detail = `${hookText(this.hook)}: another program than the expected one is in place`;
      throw sysError(cmdName(Cmd.LINK_UPDATE), Errno.EPERM, detail);
    }
    check(cmdName(Cmd.LINK_UPDATE), result, hookText(this.hook));
  }

  /** Gives the link a name in bpffs: it then outlives this object and the process, until the file is unlinked. */
  pin(path: string): void {
    objPin(this.fd, path);
  }

  /** Detaches now, also where the link is pinned or held by others. */
  detach(): void {
    linkDetach(this.fd);
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    check("close", close(fd));
    for (const other of this.#beside) close(other);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** An attachment without a bpf_link. The process's death does not undo it unless its hook's kind says so. */
export class PlainLink<H extends Hook> implements Link<H> {
  readonly id = 0;
  readonly mode = "native";
  readonly fallbackReason = undefined;
  readonly hook: H;
  readonly #detach: () => void;
  readonly #replace: ((program: LinuxProgram) => void) | undefined;
  readonly #unwrap: Unwrap;
  #open = true;

  constructor(hook: H, unwrap: Unwrap, detach: () => void, replace?: (program: LinuxProgram) => void) {
    this.hook = hook;
    this.#unwrap = unwrap;
    this.#detach = detach;
    this.#replace = replace;
  }

  update(program: Program): void {
    if (!this.#open) throw new TypeError(`link on ${hookText(this.hook)}: is closed`);
    if (!this.#replace) throw noUpdate(this.hook);
    this.#replace(this.#unwrap(program));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#detach();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function noUpdate(hook: Hook): UnsupportedError {
  return new UnsupportedError("update", `${hookText(hook)}: the kernel cannot replace a program here`);
}
