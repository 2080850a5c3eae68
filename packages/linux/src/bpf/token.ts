/**
 * BPF tokens (Linux 6.9): a process in a user namespace of its own, without any privilege outside, may do what the
 * mounter of its bpffs has delegated to it. Source: kernel/bpf/token.c, kernel/bpf/inode.c `bpf_parse_param`.
 */
import { closeSync, openSync } from "node:fs";
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import { scratch } from "../mem/index.ts";
import { check, close, NR, syscall, sysError } from "../sys/index.ts";
import { attr, bpf, Cmd, cmdName } from "./command.ts";

/** What may be done with the token: `any`, a mask in hex, or (Linux 6.12) names such as `map_create:prog_load`. */
export interface Delegation {
  readonly commands?: string;
  readonly maps?: string;
  readonly programs?: string;
  readonly attachTypes?: string;
}

const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const OPTIONS = {
  commands: "delegate_cmds",
  maps: "delegate_maps",
  programs: "delegate_progs",
  attachTypes: "delegate_attachs",
} as const;

/**
 * The privileged half: makes a bpffs with a delegation from a context that the process to be has opened (fsopen("bpf"))
 * in its user namespace, and whose fd came here (pidfd_getfd, SCM_RIGHTS). That process then mounts it.
 * @throws SysError EPERM without CAP_SYS_ADMIN in the first user namespace.
 */
export function delegateBpffs(context: number, delegation: Delegation): void {
  scratch((memory) => {
    for (const [what, option] of Object.entries(OPTIONS)) {
      const value = delegation[what as keyof Delegation];
      if (value === undefined) continue;
      const key = memory.cstring(option);
      const result = syscall(NR.fsconfig, context, FSCONFIG_SET_STRING, key, memory.cstring(value), 0);
      check("fsconfig", result, `${option}=${value}`);
    }
    check("fsconfig", syscall(NR.fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0), "bpf");
  });
}

/** A token, for as long as it is open. Loading with it needs its fd no longer afterwards. */
export class BpfToken {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * From a bpffs that was mounted with a delegation, in the user namespace that it was delegated to.
   * @throws UnsupportedError outside such a namespace, and on a kernel without tokens; SysError ENOENT or EPERM where
   * nothing was delegated.
   */
  static create(bpffs: string): BpfToken {
    const directory = openSync(bpffs, "r");
    try {
      attr(8).setUint32(4, directory, true);
      const fd = bpf(Cmd.TOKEN_CREATE, 8);
      if (fd === -Errno.EOPNOTSUPP) {
        throw new UnsupportedError("token", `${bpffs}: the first user namespace has no tokens, nor needs them`, "6.9");
      }
      if (fd === -Errno.EINVAL) {
        throw new UnsupportedError("token", `${bpffs}: is no root of a bpffs, or the kernel has no tokens`, "6.9");
      }
      if (fd === -Errno.ENOENT || fd === -Errno.EPERM) {
        throw sysError(cmdName(Cmd.TOKEN_CREATE), -fd, `${bpffs}: nothing was delegated to this user namespace`);
      }
      return new BpfToken(check(cmdName(Cmd.TOKEN_CREATE), fd, bpffs));
    } finally {
      closeSync(directory);
    }
  }

  /** @throws TypeError after `close`. */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError("token: is closed");
    return this.#fd;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    check("close", close(fd));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
