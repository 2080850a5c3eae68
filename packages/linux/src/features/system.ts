/** What /proc says: JIT and hardening, and the kernel's configuration where it is kept. */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { gunzipSync } from "node:zlib";
import { parseKconfig } from "@ebplane/core/elf";
import { BpfError } from "@ebplane/core/errors";

export interface SystemState {
  /** `uname -r`. */
  readonly release: string;
  readonly arch: string;
  /** 0 off, 1 on, 2 on with its output in the log; undefined when hidden. */
  readonly jit: number | undefined;
  /** 0 off, 1 for unprivileged programs, 2 for all. */
  readonly jitHarden: number | undefined;
  /** Bytes of code that the JIT may take. */
  readonly jitLimit: number | undefined;
  /** 0 allowed, 1 not until reboot, 2 not now. */
  readonly unprivilegedDisabled: number | undefined;
  /** none, integrity or confidentiality. */
  readonly lockdown: string | undefined;
}

export function systemState(): SystemState {
  return {
    release: release(),
    arch: process.arch,
    jit: sysctl("net/core/bpf_jit_enable"),
    jitHarden: sysctl("net/core/bpf_jit_harden"),
    jitLimit: sysctl("net/core/bpf_jit_limit"),
    unprivilegedDisabled: sysctl("kernel/unprivileged_bpf_disabled"),
    lockdown: lockdown(),
  };
}

function sysctl(path: string): number | undefined {
  try {
    const text = readFileSync(`/proc/sys/${path}`, "latin1").trim();
    return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

function lockdown(): string | undefined {
  try {
    return /\[(\w+)\]/.exec(readFileSync("/sys/kernel/security/lockdown", "latin1"))?.[1];
  } catch {
    return undefined;
  }
}

/** The configuration's options by name (`CONFIG_BPF` → `y`), or undefined when the kernel does not tell. */
export function kernelConfig(): ReadonlyMap<string, string> | undefined {
  const text = configText();
  if (text === undefined) return undefined;
  return new Map([...parseKconfig(text)].map(([name, value]) => [name, value.replace(/^"|"$/g, "")]));
}

const PACKED = "/proc/config.gz";

/** The configuration that the running kernel was built with, as it keeps or as its package put it. */
export function configText(): string | undefined {
  if (existsSync(PACKED)) {
    const packed = readFileSync(PACKED);
    try {
      return gunzipSync(packed).toString("latin1");
    } catch (error) {
      throw new BpfError("ECONFIG", `${PACKED}: ${(error as Error).message}`);
    }
  }
  const boot = `/boot/config-${release()}`;
  return existsSync(boot) ? readFileSync(boot, "latin1") : undefined;
}
