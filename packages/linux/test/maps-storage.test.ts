/**
 * Local storage from userspace: random operations on the kernel's map, whose keys are fds of the owners, and on ours,
 * whose keys are the owners' handles. EBPLANE_SEED picks another run.
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { seededRandom, toHex } from "@ebplane/core/bytes";
import { Errno, errnoName, SysError } from "@ebplane/core/errors";
import { createMap, createRuntime, type VmMap } from "@ebplane/core/maps";
import { Memory } from "@ebplane/core/mem";
import { type MapSpec, MapType, mapTypeName } from "@ebplane/core/object";
import { expect, test } from "vitest";
import { btfLoad, Cmd, mapElem, tryMapCreate } from "../src/bpf/index.ts";
import { allocBlock, freeBlock } from "../src/mem/index.ts";
import { close, NR, syscall } from "../src/sys/index.ts";
import { kernelLacks, kernelSkipReason } from "../src/testing.ts";
import { CGROUP2, cgroups } from "./map-references.ts";

const skip = kernelSkipReason();
const SEED = Number(process.env.EBPLANE_SEED ?? 20261125);
const T = MapType;
const NO_PREALLOC = 1;
const VALUE = 16;
const NO_OWNER = 9999;

/** BTF of an int key and a struct value of two u64. */
function types(): number {
  const strings = "\0int\0value\0a\0b\0u64\0";
  const at = (name: string): number => strings.indexOf(`\0${name}\0`) + 1;
  const KIND_INT = 1 << 24;
  const KIND_STRUCT = 4 << 24;
  const words = [at("int"), KIND_INT, 4, 32 | (1 << 24), at("value"), KIND_STRUCT | 2, VALUE];
  words.push(at("a"), 3, 0, at("b"), 3, 64, at("u64"), KIND_INT, 8, 64);
  const head = [0x0001eb9f, 24, 0, 4 * words.length, 4 * words.length, strings.length];
  const data = Buffer.concat([
    Buffer.from(Uint32Array.from([...head, ...words]).buffer),
    Buffer.from(strings, "latin1"),
  ]);
  const { fd, log } = btfLoad(new Uint8Array(data));
  if (fd < 0) throw new Error(`BTF: ${errnoName(fd)}: ${log}`);
  return fd;
}

interface Owners {
  readonly fds: readonly number[];
  /** Ours of each; 1, 2, 3 without. */
  readonly handles?: readonly number[];
  close(): void;
}

const AF_INET = 2;
const SOCK_DGRAM = 2;
const OWNERS: Readonly<Record<number, () => Owners>> = {
  [T.BPF_MAP_TYPE_SK_STORAGE]: () => {
    const fds = [0, 1, 2].map(() => syscall(NR.socket, AF_INET, SOCK_DGRAM, 0));
    return { fds, close: () => void fds.map((fd) => close(fd)) };
  },
  [T.BPF_MAP_TYPE_TASK_STORAGE]: () => {
    const fds = [process.pid, process.ppid].map((pid) => syscall(NR.pidfd_open, pid, 0));
    return { fds, close: () => void fds.map((fd) => close(fd)) };
  },
  [T.BPF_MAP_TYPE_CGRP_STORAGE]: cgroups,
  // A file by two fds is one owner; a directory and a socket have inodes too.
  [T.BPF_MAP_TYPE_INODE_STORAGE]: () => {
    const dir = mkdtempSync(`${tmpdir()}/ebplane-inodes-`);
    writeFileSync(`${dir}/a`, "");
    const files = [`${dir}/a`, dir, `${dir}/a`].map((path) => openSync(path, "r"));
    const socket = syscall(NR.socket, AF_INET, SOCK_DGRAM, 0);
    const done = (): void => {
      for (const fd of files) closeSync(fd);
      close(socket);
      rmSync(dir, { recursive: true });
    };
    return { fds: [...files, socket], handles: [1, 2, 1, 3], close: done };
  },
};

const u32 = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);

function answer(body: () => Uint8Array | boolean | undefined): string {
  try {
    const result = body();
    if (result instanceof Uint8Array) return toHex(result);
    return result === false ? "ENOENT" : "ok";
  } catch (e) {
    if (e instanceof SysError) return errnoName(e.errno);
    throw e;
  }
}

const TYPES = Object.keys(OWNERS)
  .map(Number)
  .filter((type) => kernelLacks("mapTypes", mapTypeName(type)) === undefined)
  .filter((type) => CGROUP2 !== undefined || type !== T.BPF_MAP_TYPE_CGRP_STORAGE);

test.skipIf(skip).each(TYPES)(`%i: storage is as the kernel's${skip ? ` (skipped: ${skip})` : ""}`, (type) => {
  const spec: MapSpec = {
    name: "storage",
    type,
    keySize: 4,
    valueSize: VALUE,
    maxEntries: 0,
    flags: NO_PREALLOC,
    keyTypeId: 1,
    valueTypeId: 2,
  };
  const btfFd = types();
  const fd = tryMapCreate({ ...spec, btfFd, btfKeyTypeId: 1, btfValueTypeId: 2 });
  close(btfFd);
  expect(fd, `${mapTypeName(type)}: ${fd < 0 ? errnoName(fd) : ""}`).toBeGreaterThan(0);
  const owners = OWNERS[type]!();
  const rt = createRuntime(new Memory(), { host: { owner: (handle) => handle !== NO_OWNER } });
  const ours: VmMap = createMap(rt, spec);
  const block = allocBlock(64);
  const value = block.address + 16;
  const elem = (cmd: number, key: number, flags = 0): string => {
    block.bytes.set(u32(key));
    const r = mapElem(cmd, fd, block.address, cmd === Cmd.MAP_DELETE_ELEM ? 0 : value, flags);
    const reads = cmd === Cmd.MAP_LOOKUP_ELEM || cmd === Cmd.MAP_LOOKUP_AND_DELETE_ELEM;
    return r < 0 ? errnoName(r) : reads ? toHex(block.bytes.slice(16, 16 + VALUE)) : "ok";
  };
  const r = seededRandom(SEED);
  const log: string[] = [];
  try {
    for (let i = 0; i < 400; i++) {
      const index = r.below(owners.fds.length + 1);
      // The last one is nobody.
      const theirs = owners.fds[index] ?? NO_OWNER;
      const handle = index < owners.fds.length ? (owners.handles?.[index] ?? index + 1) : NO_OWNER;
      const bytes = r.bytes(VALUE);
      const flags = r.pick([0, 0, 0, 1, 2, 3, 4, 8]);
      const what = r.below(10);
      let kernel: string;
      let mine: string;
      if (what < 4) {
        block.bytes.set(bytes, 16);
        kernel = elem(Cmd.MAP_UPDATE_ELEM, theirs, flags);
        mine = answer(() => ours.update(u32(handle), bytes, flags) ?? true);
      } else if (what < 7) {
        kernel = elem(Cmd.MAP_LOOKUP_ELEM, theirs);
        mine = answer(() => ours.lookup(u32(handle)) ?? false);
      } else if (what < 9) {
        kernel = elem(Cmd.MAP_DELETE_ELEM, theirs);
        mine = answer(() => ours.delete(u32(handle)));
      } else {
        kernel = elem(r.chance(0.5) ? Cmd.MAP_GET_NEXT_KEY : Cmd.MAP_LOOKUP_AND_DELETE_ELEM, theirs);
        mine = answer(() => ours.lookupAndDelete(u32(handle)) ?? false);
        expect(answer(() => ours.nextKey(u32(handle)) ?? false)).toBe(mine);
      }
      log.push(`${what} owner ${index} flags ${flags}: ${kernel}`);
      expect(mine, log.slice(-8).join("\n")).toBe(kernel);
    }
    expect(Errno.ENOTSUPP).toBe(524);
  } finally {
    freeBlock(block);
    close(fd);
    owners.close();
    ours.close();
  }
});
