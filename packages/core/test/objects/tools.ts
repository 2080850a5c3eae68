/**
 * For tests of objects: clang, bpftool, ip and tc as oracles, and a network namespace of the test's own.
 * Under EBPLANE_REQUIRE_KERNEL=1 a tool or kernel that is not there is a failure, not a skip.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Run {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

export function run(command: string, ...args: string[]): Run {
  const r = spawnSync(command, args, { encoding: "utf8", env: { ...process.env, PATH }, maxBuffer: 64 << 20 });
  return { ok: r.status === 0, stdout: r.stdout ?? "", stderr: `${r.stderr ?? ""}${r.error?.message ?? ""}` };
}

/** As `run`, but a failure throws what the command said. */
export function must(command: string, ...args: string[]): string {
  const r = run(command, ...args);
  if (!r.ok) throw new Error(`${command} ${args.join(" ")}: ${r.stderr}`);
  return r.stdout;
}

function required(reason: string | undefined): string | undefined {
  if (reason && process.env.EBPLANE_REQUIRE_KERNEL === "1") throw new Error(`EBPLANE_REQUIRE_KERNEL=1, but ${reason}`);
  return reason;
}

/** Why tests with these commands must be skipped; undefined to run them. */
export function missingTool(...commands: string[]): string | undefined {
  const missing = commands.find((c) => !run(c, c === "ip" || c === "tc" ? "-V" : "--version").ok);
  return required(missing && `${missing} is not installed (scripts/install-test-tools.sh)`);
}

/** Why tests that load programs with bpftool must be skipped. */
export function missingKernel(): string | undefined {
  return missingTool("bpftool") ?? required(run("bpftool", "prog", "show").ok ? undefined : "bpf(2) is not permitted");
}

const CACHE = join(tmpdir(), "ebplane-test-objects");

/** The newest clang that Debian's packages put beside the default one (`clang-19`); undefined where there is none. */
export const NEWEST_CLANG: string | undefined = [22, 21, 20, 19, 18, 17, 16]
  .map((n) => `clang-${n}`)
  .find((c) => existsSync(`/usr/bin/${c}`));

/** Flags as on a clang command line, after `-O2 -target bpf`. Compiled from a file: line info then has the text. */
export function clang(source: string, ...flags: string[]): Uint8Array {
  return compileWith("clang", source, ...flags);
}

/** As `clang`, with a compiler of this name. */
export function compileWith(compiler: string, source: string, ...flags: string[]): Uint8Array {
  const arch = process.arch === "arm64" ? "aarch64" : "x86_64";
  const args = ["-O2", "-target", "bpf", `-I/usr/include/${arch}-linux-gnu`, "-Wno-unknown-attributes", ...flags];
  // Debug info names the file relative to its directory, so that objects do not depend on the place.
  args.push("-fdebug-compilation-dir=.");
  const key = createHash("sha256")
    .update(JSON.stringify([compiler, source, args]))
    .digest("hex")
    .slice(0, 24);
  const out = join(CACHE, `${key}.o`);
  if (!existsSync(out)) {
    mkdirSync(CACHE, { recursive: true });
    // In a directory of its own and renamed when whole: several test files may build the same object at once.
    const dir = mkdtempSync(join(CACHE, "build-"));
    try {
      writeFileSync(join(dir, "source.c"), source);
      const r = spawnSync(compiler, [...args, "-c", "source.c", "-o", "object.o"], { cwd: dir, encoding: "utf8" });
      if (r.status !== 0) throw new Error(`${compiler}: ${r.stderr || r.error?.message}`);
      renameSync(join(dir, "object.o"), out);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
  return new Uint8Array(readFileSync(out));
}

/** Writes the bytes to a file of this name in a new directory, runs `body` with its path, and removes it. */
export function withFile<T>(name: string, bytes: Uint8Array | string, body: (path: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), "ebplane-"));
  try {
    writeFileSync(join(dir, name), bytes);
    return body(join(dir, name));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** `bpftool [options] prog loadall`, unpinned at once. */
export function bpftoolLoad(object: Uint8Array, ...options: string[]): Run {
  const pin = `/sys/fs/bpf/ebplane-test-${process.pid}-${Math.random().toString(36).slice(2)}`;
  try {
    return withFile("object.o", object, (path) => run("bpftool", ...options, "prog", "loadall", path, pin));
  } finally {
    rmSync(pin, { recursive: true, force: true });
  }
}

/** A network namespace with a veth pair `left`-`right` in it, removed afterwards. */
export function withNetns<T>(body: (netns: string) => T): T {
  const name = `ebp-obj-${process.pid}`;
  must("ip", "netns", "add", name);
  try {
    must("ip", "-n", name, "link", "add", "name", "left", "type", "veth", "peer", "name", "right");
    return body(name);
  } finally {
    run("ip", "netns", "del", name);
  }
}
