/**
 * What needs kernel probes and patched functions, which not every kernel is built with: the whole of it runs on
 * Debian's kernels (`scripts/kernels/run.sh 6.12 npx vitest run packages/linux/src/link/probes.test.ts`).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UnsupportedError } from "@ebplane/core/errors";
import { AttachType as A, type Hook, type ProgramSpec, ProgType as T } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import { readIterator } from "../bpf/index.ts";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, asmProgram, collectionOf, countingProgram, kernelSkipReason } from "../testing.ts";
import { BpfLink, listLinkObjects } from "./index.ts";

const noKprobes = existsSync("/sys/bus/event_source/devices/kprobe/type") ? undefined : "the kernel has no kprobes";
const skip = kernelSkipReason() ?? noKprobes;

/** Adds what the attachment's cookie is to `hits`, and counts in the second value. */
const cookieProgram = (name: string, type: number, more: Partial<ProgramSpec> = {}): ProgramSpec =>
  asmProgram(
    name,
    type,
    `call bpf_get_attach_cookie
     r1 = map[hits][0]+0
     *(u64 *)(r1 + 0) = r0
     r2 = 1
     lock *(u64 *)(r1 + 8) += r2
     r0 = 0
     exit`,
    more,
  );

describe.skipIf(skip)(`probes in the kernel${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const hits = arrayMap("hits", 1, { valueSize: 16 });
  const target = linuxTarget();

  /** Loads one program, and gives what it left after `work` while it was attached: the last cookie and the count. */
  function run(spec: ProgramSpec, hook: Hook | undefined, work: () => void): { cookie: bigint; count: number } {
    using loaded = target.load(collectionOf([spec], [hits]));
    const read = () => {
      const v = new DataView(loaded.maps.get("hits")!.lookup(new Uint8Array(4))!.buffer);
      return { cookie: v.getBigUint64(0, true), count: Number(v.getBigUint64(8, true)) };
    };
    const link = target.attach(loaded.programs.get(spec.name)!, hook);
    work();
    link.close();
    const after = read();
    work();
    expect(read(), "nothing runs once the link is closed").toEqual(after);
    return after;
  }

  const count = (name: string, type: number, more: Partial<ProgramSpec> = {}): ProgramSpec =>
    countingProgram(name, type, 0, more);
  const counted = (spec: ProgramSpec, hook: Hook | undefined, work: () => void): number =>
    Number(run(spec, hook, work).cookie);
  /** The kernel's refusal of what it is too old for, or what `body` gives. */
  function orTooOld<R>(feature: string, body: () => R): R | undefined {
    try {
      return body();
    } catch (error) {
      expect(error).toBeInstanceOf(UnsupportedError);
      expect((error as UnsupportedError).feature).toBe(feature);
      expect((error as Error).message).toMatch(/\(needs Linux \d+\.\d+\)$|was built without /);
      return undefined;
    }
  }

  test("entry, return, an offset, a system call", () => {
    const kprobe = (section: string): ProgramSpec => {
      const [, attachTo] = section.split("/");
      return count("p", T.BPF_PROG_TYPE_KPROBE, { section, attachTo });
    };
    for (const section of [
      "kprobe/do_sys_openat2",
      "kretprobe/do_sys_openat2",
      "ksyscall/openat",
      "kretsyscall/openat",
    ]) {
      expect(
        counted(kprobe(section), undefined, () => readFileSync("/proc/self/stat")),
        section,
      ).toBeGreaterThan(0);
    }
    const attach = (hook: Hook) => counted(kprobe("kprobe"), hook, () => readFileSync("/proc/self/stat"));
    expect(() => attach({ kind: "kprobe", function: "no_such_function" })).toThrow(
      "perf_event_open: ENOENT: kprobe:no_such_function: this kernel has no such function",
    );
    expect(() => attach({ kind: "ksyscall", syscall: "nothing" })).toThrow("this kernel has no such system call");
    expect(() => attach({ kind: "kprobe", function: "do_sys_openat2", offset: 1 })).toThrow(
      /E(ILSEQ|INVAL): kprobe:do_sys_openat2\+0x1: /,
    );
    using loaded = target.load(collectionOf([kprobe("kprobe")], [hits]));
    expect(() => target.attach(loaded.programs.get("p")!)).toThrow(
      'program p: name a hook: the section "kprobe" names none',
    );
  });

  test("cookies of probes and tracepoints reach the program", () => {
    const open = () => readFileSync("/proc/self/stat");
    const kprobe = cookieProgram("k", T.BPF_PROG_TYPE_KPROBE);
    const known = orTooOldProgram(kprobe);
    if (!known) return;
    expect(run(kprobe, { kind: "kprobe", function: "do_sys_openat2", cookie: 0x1234_5678_9abcn }, open).cookie).toBe(
      0x1234_5678_9abcn,
    );
    const tp = cookieProgram("t", T.BPF_PROG_TYPE_TRACEPOINT);
    const hook = { kind: "tracepoint", group: "syscalls", name: "sys_enter_openat", cookie: 7n } as const;
    expect(run(tp, hook, open).cookie).toBe(7n);
    const libc = { kind: "uprobe", path: "libc.so.6", function: "getppid", offset: 0, cookie: 9n } as const;
    const parent = () => process.ppid;
    expect(run(kprobe, libc, parent)).toMatchObject({ cookie: 9n });
    expect(run(kprobe, { ...libc, kind: "uretprobe" }, parent).count).toBeGreaterThan(0);
    const raw = cookieProgram("r", T.BPF_PROG_TYPE_RAW_TRACEPOINT);
    if (orTooOldProgram(raw)) {
      expect(run(raw, { kind: "raw_tp", name: "sys_enter", cookie: 11n }, open).cookie).toBe(11n);
    }
    const fentry = cookieProgram("f", T.BPF_PROG_TYPE_TRACING, {
      attachType: A.BPF_TRACE_FENTRY,
      attachTo: "do_sys_openat2",
    });
    if (orTooOldProgram(fentry)) expect(run(fentry, { kind: "trace", cookie: 13n }, open).cookie).toBe(13n);
  });

  /** bpf_get_attach_cookie came to one program type after the other. */
  function orTooOldProgram(spec: ProgramSpec): boolean {
    try {
      target.load(collectionOf([spec], [hits])).close();
      return true;
    } catch (error) {
      expect((error as Error).message).toMatch(/unknown func|cannot use helper|invalid func/);
      return false;
    }
  }

  test("many functions by one link: names, patterns, cookies, returns, sessions", () => {
    const open = () => readFileSync("/proc/self/stat");
    const multi = (make: typeof count, section: string, attachType: number): ProgramSpec =>
      make("m", T.BPF_PROG_TYPE_KPROBE, { section, attachTo: section.split("/")[1], attachType });
    const first = orTooOld("kprobe_multi", () =>
      counted(multi(count, "kprobe.multi/do_sys_open*", A.BPF_TRACE_KPROBE_MULTI), undefined, open),
    );
    if (first === undefined) return;
    expect(first).toBeGreaterThan(0);
    const byName = multi(cookieProgram, "kprobe.multi", A.BPF_TRACE_KPROBE_MULTI);
    const functions = ["do_sys_openat2", "vfs_fsync_range"];
    expect(run(byName, { kind: "kprobe_multi", functions, cookies: [21n, 22n] }, open).cookie).toBe(21n);
    expect(run(byName, { kind: "kretprobe_multi", functions }, open).count).toBeGreaterThan(0);
    const attach = (hook: Hook) => run(byName, hook, open);
    expect(() => attach({ kind: "kprobe_multi", functions, cookies: [1n] })).toThrow(
      "kprobe_multi: need a cookie for each of 2 places, have 1",
    );
    expect(() => attach({ kind: "kprobe_multi", functions: ["no_such_*"] })).toThrow(
      "kprobe_multi:no_such_*: fits no function that this kernel can trace",
    );
    expect(() => attach({ kind: "kprobe_multi", functions: ["no_such"] })).toThrow(
      "ESRCH: kprobe_multi:no_such: a function that this kernel does not have, or lets nobody trace",
    );
    const session = multi(count, "kprobe.session/do_sys_openat2", A.BPF_TRACE_KPROBE_SESSION);
    const both = orTooOld("kprobe_session", () => counted(session, undefined, open));
    if (both !== undefined) expect(both).toBeGreaterThanOrEqual(2);
  });

  test("many places of a file by one link: functions, patterns, cookies, sessions", () => {
    const parent = () => process.ppid;
    const multi = (make: typeof count, section: string, attachType: number): ProgramSpec =>
      make("m", T.BPF_PROG_TYPE_KPROBE, { section, attachTo: section.slice(section.indexOf("/") + 1), attachType });
    const first = orTooOld("uprobe_multi", () =>
      counted(multi(count, "uprobe.multi/libc.so.6:getpp*", A.BPF_TRACE_UPROBE_MULTI), undefined, parent),
    );
    if (first === undefined) return;
    expect(first).toBeGreaterThan(0);
    const byName = multi(cookieProgram, "uprobe.multi", A.BPF_TRACE_UPROBE_MULTI);
    const hook = { kind: "uprobe_multi", path: "libc.so.6", offsets: [], functions: ["getpgrp", "getppid"] } as const;
    expect(run(byName, { ...hook, cookies: [31n, 32n] }, parent).cookie).toBe(32n);
    expect(() => run(byName, { ...hook, functions: ["no_such"] }, parent)).toThrow("no function no_such");
    const session = multi(count, "uprobe.session/libc.so.6:getppid", A.BPF_TRACE_UPROBE_SESSION);
    const both = orTooOld("uprobe_session", () => counted(session, undefined, parent));
    if (both !== undefined) expect(both).toBe(2 * first);
  });

  test("functions of the kernel: at entry, at exit, instead of them, and LSM hooks", () => {
    const open = () => readFileSync("/proc/self/stat");
    const trace = (section: string, attachType: number, type: number = T.BPF_PROG_TYPE_TRACING, verdict = 0) => {
      const attachTo = section.slice(section.indexOf("/") + 1);
      return countingProgram("t", type, verdict, { section, attachTo, attachType });
    };
    expect(counted(trace("fentry/do_sys_openat2", A.BPF_TRACE_FENTRY), undefined, open)).toBeGreaterThan(0);
    expect(counted(trace("fexit/do_sys_openat2", A.BPF_TRACE_FEXIT), undefined, open)).toBeGreaterThan(0);
    const directory = mkdtempSync(join(tmpdir(), "ebplane-lsm-"));
    try {
      const link = join(directory, "link");
      const make = () => {
        try {
          symlinkSync("nowhere", link);
          rmSync(link);
          return "made";
        } catch (error) {
          return (error as NodeJS.ErrnoException).code;
        }
      };
      for (const spec of [
        trace("fmod_ret/security_path_symlink", A.BPF_MODIFY_RETURN, T.BPF_PROG_TYPE_TRACING, -1),
        trace("lsm/inode_symlink", A.BPF_LSM_MAC, T.BPF_PROG_TYPE_LSM, -1),
      ]) {
        using loaded = target.load(collectionOf([spec], [hits]));
        const attached = target.attach(loaded.programs.get("t")!);
        expect(make(), spec.section).toBe("EPERM");
        attached.close();
        expect(make(), spec.section).toBe("made");
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
    expect(() => target.load(collectionOf([trace("fentry/no_such", A.BPF_TRACE_FENTRY)], [hits]))).toThrow(
      "program t: this kernel has no function no_such",
    );
    expect(() =>
      counted(trace("fentry/do_sys_openat2", A.BPF_TRACE_FENTRY), { kind: "trace", target: "other" }, open),
    ).toThrow("program t: is loaded for do_sys_openat2, not for other");
  });

  test("an LSM hook of one control group", ({ skip: skipTest }) => {
    const path = `/sys/fs/cgroup/ebplane-lsm-${process.pid}`;
    if (!existsSync("/sys/fs/cgroup/cgroup.procs")) skipTest("there is no cgroup2 at /sys/fs/cgroup");
    mkdirSync(path);
    try {
      const inside = () =>
        spawnSync("sh", ["-c", `echo $$ > ${path}/cgroup.procs && exec ip link show lo`], { encoding: "utf8" });
      expect(inside()).toMatchObject({ status: 0 });
      const spec = countingProgram("no_sockets", T.BPF_PROG_TYPE_LSM, 0, {
        section: "lsm_cgroup/socket_create",
        attachTo: "socket_create",
        attachType: A.BPF_LSM_CGROUP,
      });
      using loaded = orTooOld("lsm_cgroup", () => target.load(collectionOf([spec], [hits])));
      if (!loaded) return;
      const program = loaded.programs.get("no_sockets")!;
      {
        using link = target.attach(program, { kind: "cgroup", path, type: "lsm" });
        expect(inside().status).not.toBe(0);
        expect(inside().stderr).toContain("Operation not permitted");
        expect(spawnSync("ip", ["link", "show", "lo"]).status).toBe(0);
        expect(listLinkObjects().find((l) => l.id === link.id)?.hook).toMatchObject({ kind: "cgroup", type: "lsm" });
      }
      expect(inside().status).toBe(0);
    } finally {
      rmdirSync(path);
    }
  });

  test("iterators over one map, one cgroup, one process", () => {
    const iter = (name: string) =>
      asmProgram(
        "i",
        T.BPF_PROG_TYPE_TRACING,
        `r6 = map[hits][0]+0
         r2 = 1
         lock *(u64 *)(r6 + 0) += r2
         r0 = 0
         exit`,
        { section: `iter/${name}`, attachTo: name, attachType: A.BPF_TRACE_ITER },
      );
    const walk = (name: string, hook: Hook): number => {
      using loaded = target.load(collectionOf([iter(name)], [hits]));
      using link = target.attach(loaded.programs.get("i")!, hook);
      if (link instanceof BpfLink) readIterator(link.fd);
      return Number(new DataView(loaded.maps.get("hits")!.lookup(new Uint8Array(4))!.buffer).getBigUint64(0, true));
    };
    using other = target.load(collectionOf([], [arrayMap("other", 5)]));
    // One more call at the end, without an element.
    expect(walk("bpf_map_elem", { kind: "trace", over: { map: other.maps.get("other")! } })).toBe(6);
    expect(() => walk("bpf_map_elem", { kind: "trace" })).toThrow(
      "trace:bpf_map_elem: this iterator has to be told what it walks over",
    );
    const all = walk("task", { kind: "trace" });
    const one = orTooOld("iterator", () => walk("task", { kind: "trace", over: { tid: process.pid } }));
    if (one !== undefined) {
      expect(one).toBeLessThan(all);
      expect(one).toBe(2);
    }
  });
});
