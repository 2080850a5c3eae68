/** `ebplane map …`: the kernel's maps, listed, shown and changed. Keys and values are hex bytes in memory order. */
import { setTimeout } from "node:timers/promises";
import { type Btf, decodeValue, encodeValue, parseBtf, sizeOf } from "@ebplane/core/btf";
import { fromHex, toHex } from "@ebplane/core/bytes";
import { BpfError } from "@ebplane/core/errors";
import { BPF_ANY, BPF_EXIST, BPF_NOEXIST, isPerCpu, MapType, mapTypeName } from "@ebplane/core/object";
import type { LinuxMap, MapInfo } from "@ebplane/linux";
import type { Command } from "commander";
import { mapPins, readRecords } from "../attachments/records.ts";
import { answerNo, UsageError } from "../failure.ts";
import { requireKernel } from "../kernel.ts";
import { allMaps, findMap, WHICH_MAP } from "../kernel-objects.ts";
import { wholeNumber } from "../options.ts";
import { print, printJson, table, toJson } from "../output.ts";

export function registerMap(program: Command): void {
  const map = program
    .command("map")
    .description("the kernel's maps: their entries, their records, their names in bpffs");

  map
    .command("list")
    .description("every map in the system")
    .option("--json", "one JSON document")
    .action(async ({ json }: { json?: boolean }) => {
      await requireKernel("map list");
      const maps = (await allMaps()).map((info) => mapJson(info));
      if (json) printJson({ maps });
      else if (maps.length === 0) print("no maps");
      else {
        const rows = maps.map((m) => [m.id, m.name, m.type, m.key, m.value, m.max].map(String));
        print(table(["id", "name", "type", "key", "value", "max"], rows, ["id", "key", "value", "max"]));
      }
    });

  map
    .command("show <map>")
    .description(`one map: ${WHICH_MAP}`)
    .option("--json", "one JSON document")
    .action(async (which: string, { json }: { json?: boolean }) => {
      await withMap(which, ({ info, types }) => {
        const pins = readRecords().flatMap((r) => mapPins(r).map(({ path }) => path));
        const typed = types !== undefined;
        if (json) printJson({ ...mapJson(info), btf: typed });
        else {
          const { id, name, type, key, value, max, flags } = mapJson(info);
          print(`map ${id}: ${name}, ${type}, key ${key} bytes, value ${value} bytes, ${max} entries at most`);
          print(`  flags 0x${flags.toString(16)}, ${typed ? "with BTF types" : "no BTF types"}`);
          for (const pin of pins) if (pin === which) print(`  pinned at ${pin}`);
        }
      });
    });

  map
    .command("dump <map>")
    .description("every entry, by its types where the kernel knows them")
    .option("--hex", "bytes also where there are types")
    .option("--json", "one JSON document")
    .action(async (which: string, { json, hex }: { json?: boolean; hex?: boolean }) => {
      await withMap(which, (opened) => {
        const entries = [...opened.map.entries()].map(([key, value]) => entryJson(opened, key, value, !json));
        if (json) {
          printJson({ ...mapJson(opened.info), entries });
          return;
        }
        for (const entry of entries) print(entryText(entry, hex ?? false));
        print(`${entries.length} ${entries.length === 1 ? "entry" : "entries"}`);
      });
    });

  map
    .command("lookup <map> <key>")
    .description("the value of a key; exit 1 when there is none")
    .option("--json", "one JSON document")
    .action(async (which: string, text: string, { json }: { json?: boolean }) => {
      await withMap(which, (opened) => {
        const key = keyBytes(opened, text);
        const value = opened.map.lookup(key);
        if (value === undefined) answerNo();
        if (json) printJson(value ? entryJson(opened, key, value) : { key: toHex(key), value: null });
        else print(value ? entryText(entryJson(opened, key, value, true), false) : `${text}: no such key`);
      });
    });

  map
    .command("update <map> <key> <value>")
    .description("writes an entry; of a per-CPU map one value counts for every CPU")
    .option("--new", "only when the key is not there")
    .option("--existing", "only when the key is there")
    .action(async (which: string, key: string, value: string, options: { new?: boolean; existing?: boolean }) => {
      if (options.new && options.existing) throw new UsageError("--new and --existing exclude each other");
      const flags = options.new ? BPF_NOEXIST : options.existing ? BPF_EXIST : BPF_ANY;
      await withMap(which, (opened) => {
        opened.map.update(keyBytes(opened, key), valueBytes(opened, value), flags);
      });
    });

  map
    .command("create <type> <name> <path>")
    .description("makes a map and pins it at a file in bpffs")
    .requiredOption("--key <bytes>", "size of a key; 0 for types without")
    .requiredOption("--value <bytes>", "size of a value; 0 for types without")
    .requiredOption("--entries <number>", "most entries, or the bytes of a ring buffer")
    .option("--flags <number>", "BPF_F_* of map creation", "0")
    .action(
      async (type: string, name: string, path: string, o: Record<"key" | "value" | "entries" | "flags", string>) => {
        const number = Object.entries(MapType).find(
          ([key]) => mapTypeName(MapType[key as keyof typeof MapType]) === type,
        )?.[1];
        if (number === undefined) throw new UsageError(`map create: no type ${type} (ebplane features lists them)`);
        await requireKernel("map create");
        const { ensureBpffs } = await import("@ebplane/linux");
        const { mapCreate, objPin } = await import("@ebplane/linux/bpf");
        const { closeSync } = await import("node:fs");
        ensureBpffs();
        const fd = mapCreate({
          type: number,
          name,
          keySize: wholeNumber(o.key, "--key"),
          valueSize: wholeNumber(o.value, "--value"),
          maxEntries: wholeNumber(o.entries, "--entries"),
          flags: wholeNumber(o.flags, "--flags"),
        });
        try {
          objPin(fd, path);
        } finally {
          closeSync(fd);
        }
      },
    );

  map
    .command("pin <map> <path>")
    .description("gives a map a name in bpffs, which keeps it")
    .action(async (which: string, path: string) => {
      const { ensureBpffs } = await import("@ebplane/linux");
      const { objPin } = await import("@ebplane/linux/bpf");
      await withMap(which, (opened) => {
        ensureBpffs();
        objPin(opened.map.fd, path);
      });
    });

  map
    .command("freeze <map>")
    .description("no more changes from userspace, for good")
    .action(async (which: string) => {
      const { mapFreeze } = await import("@ebplane/linux/bpf");
      await withMap(which, (opened) => mapFreeze(opened.map.fd));
    });

  map
    .command("next <map> [key]")
    .description("the key after this one in the map's own order, or the first; exit 1 after the last")
    .action(async (which: string, text: string | undefined) => {
      await withMap(which, (opened) => {
        const next = opened.map.nextKey(text === undefined ? undefined : keyBytes(opened, text));
        if (next === undefined) answerNo();
        print(next ? toHex(next) : "no key after it");
      });
    });

  map
    .command("push <map> <value>")
    .description("puts a value into a queue or stack")
    .action(async (which: string, text: string) => {
      await withMap(which, (opened) => opened.map.update(new Uint8Array(0), valueBytes(opened, text)));
    });

  map
    .command("peek <map>")
    .description("the value that pop would take; exit 1 when it is empty")
    .action(async (which: string) => {
      await withMap(which, ({ map: live }) => {
        const value = live.lookup(new Uint8Array(0));
        if (value === undefined) answerNo();
        print(value ? toHex(value) : "empty");
      });
    });

  map
    .command("pop <map>")
    .description("takes the next value out of a queue or stack; exit 1 when it is empty")
    .action(async (which: string) => {
      await withMap(which, ({ map: live }) => {
        const value = live.lookupAndDelete(new Uint8Array(0));
        if (value === undefined) answerNo();
        print(value ? toHex(value) : "empty");
      });
    });

  map
    .command("events <map>")
    .description("the records of a ring buffer or perf event array as they come, in hex, until Ctrl-C")
    .option("--count <number>", "end after as many")
    .action(async (which: string, { count }: { count?: string }) => {
      const most = count === undefined ? Number.POSITIVE_INFINITY : wholeNumber(count, "--count");
      await requireKernel("map events");
      const { openMap } = await import("@ebplane/linux");
      using live = openMap(await findMap(which));
      await printEvents(live, most);
    });

  map
    .command("delete <map> <key>")
    .description("takes an entry away; exit 1 when there is none")
    .action(async (which: string, text: string) => {
      await withMap(which, (opened) => {
        if (opened.map.delete(keyBytes(opened, text))) return;
        answerNo();
        print(`${text}: no such key`);
      });
    });
}

async function printEvents(map: LinuxMap, most: number): Promise<void> {
  const { PerfReader, RingBufReader } = await import("@ebplane/linux");
  const kind = mapTypeName(map.spec.type);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  let left = most;
  const show = (text: string): void => {
    print(text);
    if (--left <= 0) stop.abort();
  };
  if (kind !== "ringbuf" && kind !== "perf_event_array") {
    throw new UsageError(`map ${map.spec.name}: expected a ringbuf or perf_event_array, got ${kind}`);
  }
  using reader = kind === "ringbuf" ? new RingBufReader(map) : new PerfReader(map);
  while (!stop.signal.aborted) {
    if (reader instanceof RingBufReader) reader.consume((record) => show(toHex(record)), left);
    else reader.consume((event, cpu) => show(`cpu ${cpu}: ${toHex(event)}`));
    await setTimeout(50, undefined, { signal: stop.signal }).catch(() => {});
  }
}

interface Types {
  readonly btf: Btf;
  readonly key: number;
  readonly value: number;
}

interface Opened {
  readonly map: LinuxMap;
  readonly info: MapInfo;
  readonly types: Types | undefined;
}

async function withMap(which: string, body: (opened: Opened) => void): Promise<void> {
  await requireKernel("map");
  const { openMap, mapInfo } = await import("@ebplane/linux");
  using map = openMap(await findMap(which));
  const info = mapInfo(map.fd);
  body({ map, info, types: await typesOf(info) });
}

async function typesOf({ btfId, btfKeyTypeId, btfValueTypeId }: MapInfo): Promise<Types | undefined> {
  if (!btfId || !btfValueTypeId) return undefined;
  const { btfBytes } = await import("@ebplane/linux/bpf");
  const bytes = btfBytes(btfId);
  return bytes && { btf: parseBtf(bytes), key: btfKeyTypeId, value: btfValueTypeId };
}

function mapJson({ id, name, type, keySize, valueSize, maxEntries, flags, btfId }: MapInfo) {
  return {
    id,
    name,
    type: mapTypeName(type),
    key: keySize,
    value: valueSize,
    max: maxEntries,
    flags,
    btfId,
  };
}

interface Entry {
  readonly key: string;
  readonly value: string;
  /** By BTF; of a per-CPU map an array of values. */
  readonly typed?: { readonly key: unknown; readonly value: unknown };
}

/** `addresses`: as text, for people. */
function entryJson({ info, types }: Opened, key: Uint8Array, value: Uint8Array, addresses = false): Entry {
  const hex = { key: toHex(key), value: toHex(value) };
  if (!types) return hex;
  const stride = isPerCpu(info.type) ? (info.valueSize + 7) & ~7 : value.length;
  const values = [];
  for (let at = 0; at < value.length; at += stride) {
    values.push(decodeValue(types.btf, types.value, value.subarray(at, at + info.valueSize), { addresses }));
  }
  const typedKey = types.key ? decodeValue(types.btf, types.key, key, { addresses }) : hex.key;
  return { ...hex, typed: { key: typedKey, value: isPerCpu(info.type) ? values : values[0] } };
}

function entryText(entry: Entry, hex: boolean): string {
  if (!entry.typed || hex) return `${entry.key}: ${entry.value}`;
  const line = (value: unknown): string => toJson(value).replace(/\s*\n\s*/g, " ");
  return `${line(entry.typed.key)}: ${line(entry.typed.value)}`;
}

function keyBytes({ info, types }: Opened, text: string): Uint8Array {
  return bytesOf(text, "key", info.keySize, types?.key ? { btf: types.btf, type: types.key } : undefined);
}

/** One value, or for a per-CPU map all of them. */
function valueBytes({ map, info, types }: Opened, text: string): Uint8Array {
  const sizes = isPerCpu(info.type) ? [info.valueSize, map.userValueSize] : [info.valueSize];
  const one = bytesOf(text, "value", sizes, types && { btf: types.btf, type: types.value });
  if (!isPerCpu(info.type) || one.length === map.userValueSize) return one;
  const all = new Uint8Array(map.userValueSize);
  for (let at = 0; at < all.length; at += (info.valueSize + 7) & ~7) all.set(one, at);
  return all;
}

/** Hex, or with types `=` and JSON: `={"addr": "10.0.0.1", "port": 80}`. */
function bytesOf(
  text: string,
  what: string,
  size: number | readonly number[],
  types: { readonly btf: Btf; readonly type: number } | undefined,
): Uint8Array {
  const sizes = typeof size === "number" ? [size] : size;
  let bytes: Uint8Array;
  try {
    bytes = text.startsWith("=") ? fromJson(text.slice(1), types) : fromHex(text.replace(/^0x/, ""));
  } catch (error) {
    throw new BpfError("EBYTES", `${what}: ${(error as Error).message}`);
  }
  if (!sizes.includes(bytes.length)) {
    throw new UsageError(`${what}: expected ${sizes.join(" or ")} bytes in hex, got ${bytes.length}`);
  }
  return bytes;
}

function fromJson(text: string, types: { readonly btf: Btf; readonly type: number } | undefined): Uint8Array {
  if (!types) throw new UsageError("expected hex bytes: the kernel has no types for this map");
  // As `--json` prints 64-bit numbers.
  const value: unknown = JSON.parse(text, (_key, v: unknown) =>
    typeof v === "string" && /^-?\d+$/.test(v) ? BigInt(v) : v,
  );
  const bytes = encodeValue(types.btf, types.type, value as never);
  return bytes.subarray(0, sizeOf(types.btf, types.type));
}
