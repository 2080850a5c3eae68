/**
 * Many entries in one system call, for filling and emptying large maps. Keys and values are packed one after the
 * other. Where the kernel has no batch for a type, the same is done entry by entry.
 * Source: kernel/bpf/syscall.c `generic_map_update_batch`, `generic_map_delete_batch`; kernel/bpf/hashtab.c.
 */
import { Errno } from "@ebplane/core/errors";
import { mapTypeName } from "@ebplane/core/object";
import { allocBlock, freeBlock } from "../mem/index.ts";
import { sysError } from "../sys/index.ts";
import { Cmd, cmdName } from "./command.ts";
import type { LinuxMap } from "./map.ts";
import { mapBatch, mapElem } from "./map-calls.ts";

/** Bytes of keys and values copied for one call: enough to hide the call's cost, small enough to stay in the cache. */
const CHUNK = 1 << 18;

/**
 * Writes `keys.length / keySize` entries in order. `flags` as for `update`, for each element.
 * @returns how many are written: all of them.
 * @throws SysError with the number of entries written before the one that failed.
 */
export function updateBatch(map: LinuxMap, keys: Uint8Array, values: Uint8Array, flags = 0): number {
  const total = countOf(map, keys);
  if (values.length !== total * map.userValueSize) {
    const need = total * map.userValueSize;
    throw new RangeError(`map ${map.spec.name}: need ${need} bytes of values, have ${values.length}`);
  }
  return map.inside(() => run(map, Cmd.MAP_UPDATE_BATCH, Cmd.MAP_UPDATE_ELEM, keys, values, flags, total));
}

/** Deletes the entries of these keys. @returns how many were there. */
export function deleteBatch(map: LinuxMap, keys: Uint8Array): number {
  const total = countOf(map, keys);
  const { keySize } = map.spec;
  let deleted = 0;
  let at = 0;
  while (at < total) {
    // A batch stops at the first key that is not there: it is passed over, and the rest goes on.
    const rest = keys.subarray(at * keySize);
    const done = tryRun(map, Cmd.MAP_DELETE_BATCH, Cmd.MAP_DELETE_ELEM, rest, undefined, 0, total - at);
    deleted += done.count;
    at += done.count;
    if (done.errno === 0) break;
    if (done.errno !== Errno.ENOENT) throw failed(map, Cmd.MAP_DELETE_BATCH, done);
    at++;
  }
  return deleted;
}

interface Done {
  readonly count: number;
  readonly errno: number;
}

function run(
  map: LinuxMap,
  batch: number,
  single: number,
  keys: Uint8Array,
  values: Uint8Array | undefined,
  flags: number,
  total: number,
): number {
  const done = tryRun(map, batch, single, keys, values, flags, total);
  if (done.errno !== 0) throw failed(map, batch, done);
  return done.count;
}

function failed(map: LinuxMap, cmd: number, { count, errno }: Done): Error {
  const detail = `map ${map.spec.name} (${mapTypeName(map.spec.type)}): entry ${count}`;
  return sysError(cmdName(cmd), errno, detail);
}

function tryRun(
  map: LinuxMap,
  batch: number,
  single: number,
  keys: Uint8Array,
  values: Uint8Array | undefined,
  flags: number,
  total: number,
): Done {
  const { fd, userValueSize } = map;
  const { keySize } = map.spec;
  const each = keySize + (values ? userValueSize : 0);
  const room = Math.max(1, Math.floor(CHUNK / each));
  const block = allocBlock(Math.min(room, Math.max(total, 1)) * each + 8);
  try {
    const valuesAt = (Math.min(room, total) * keySize + 7) & -8;
    let one = false;
    for (let at = 0; at < total; ) {
      const count = one ? 1 : Math.min(room, total - at);
      block.bytes.set(keys.subarray(at * keySize, (at + count) * keySize));
      if (values) block.bytes.set(values.subarray(at * userValueSize, (at + count) * userValueSize), valuesAt);
      const value = values ? block.address + valuesAt : 0;
      if (one) {
        const result = mapElem(single, fd, block.address, value, flags);
        if (result < 0) return { count: at, errno: -result };
        at++;
        continue;
      }
      const request = { fd, inBatch: 0, outBatch: 0, keys: block.address, values: value, count, elemFlags: flags };
      const answer = mapBatch(batch, request);
      // Refused as a whole: `count` is then what was asked for, not what was done.
      if (answer.result === -Errno.ENOTSUPP || answer.result === -Errno.EOPNOTSUPP || answer.result === -Errno.EINVAL) {
        one = true;
        continue;
      }
      if (answer.result < 0) return { count: at + answer.count, errno: -answer.result };
      at += answer.count;
    }
    return { count: total, errno: 0 };
  } finally {
    freeBlock(block);
  }
}

function countOf(map: LinuxMap, keys: Uint8Array): number {
  const { keySize, name } = map.spec;
  if (keySize === 0) throw new TypeError(`map ${name}: has no keys`);
  if (keys.length % keySize)
    throw new RangeError(`map ${name}: need keys of ${keySize} bytes, have ${keys.length} bytes`);
  return keys.length / keySize;
}
