/** Variables of an arena (`.addr_space.1`, clang 19): read, written back, and the same on the kernel and on sim. */
import { readElf, setVariables, writeElf } from "@ebplane/core/elf";
import type { ArenaMap } from "@ebplane/core/maps";
import type { Collection, Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { type LinuxCollection, linuxTarget } from "@ebplane/linux";
import { describe, expect, test } from "vitest";
import { compileWith, missingKernel, NEWEST_CLANG } from "./tools.ts";

const casts = NEWEST_CLANG !== undefined && Number(NEWEST_CLANG.split("-")[1]) >= 19;
const skipKernel = missingKernel();

const SOURCE = `
typedef unsigned int u32; typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))
#define __arena __attribute__((address_space(1)))
#define __uint(name, val) int (*name)[val]
struct xdp_md { u32 data, data_end, data_meta; };
struct { __uint(type, 33); __uint(map_flags, 1 << 10); __uint(max_entries, 16); } arena SEC(".maps");
void __arena *bpf_arena_alloc_pages(void *map, void __arena *at, u32 count, int node, u64 flags)
  __attribute__((section(".ksyms"), weak));

struct node { struct node __arena *next; u32 value; };
struct node __arena *head;
u32 __arena hits = 5;
u32 __arena table[1500] = {1, 2, 3};
u32 made;

SEC("xdp") int count(struct xdp_md *ctx) {
  hits += table[1];
  u32 sum = 0;
  struct node __arena *n = head;
  if (n) sum += n->value;
  return hits + sum * 100 + (made ? 0 : table[0]);
}

SEC("syscall") int grow(void *ctx) {
  struct node __arena *n = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
  if (!n) return 1;
  n->value = 7;
  n->next = head;
  head = n;
  made++;
  return 0;
}
char LICENSE[] SEC("license") = "GPL";
`;

function object(source = SOURCE): Uint8Array {
  return compileWith(NEWEST_CLANG!, source, "-mcpu=v4", "-g");
}

const frame = new Uint8Array(64);

/** What the programs answer, and what userspace sees of the arena afterwards. */
function story(target: Target, pages: (loaded: Collection) => Pick<ArenaMap, "readBytes" | "writeBytes">) {
  using loaded = target.load(setVariables(readElf(object()), { hits: 40 }));
  const program = (name: string) => loaded.programs.get(name)!;
  const answers: number[] = [];
  const packet = () => answers.push(program("count").testRun({ packet: frame }).verdict);
  packet();
  answers.push(program("grow").testRun({ packet: new Uint8Array(0) }).verdict);
  packet();
  const arena = pages(loaded);
  const { offset } = loaded.spec.variables!.get("hits")!;
  answers.push(new DataView(arena.readBytes(offset, 4).buffer).getUint32(0, true));
  arena.writeBytes(offset, Uint8Array.of(100, 0, 0, 0));
  packet();
  // A page that nobody had comes to be, with zeros.
  answers.push(...arena.readBytes(15 * 4096 + 4095, 1));
  expect(() => arena.readBytes(16 * 4096 - 1, 2)).toThrow("arena arena: need 2 bytes at 65535, it has 65536");
  return answers;
}

describe.skipIf(!casts)("variables of an arena", () => {
  test("sim and kernel give the same answers, and userspace reads and writes what programs do", () => {
    const onSim = story(new SimTarget(), (c) => c.maps.get("arena") as unknown as ArenaMap);
    expect(onSim).toEqual([43, 0, 744, 44, 802, 0]);
    if (skipKernel) return;
    const onKernel = story(linuxTarget(), (c) => (c as LinuxCollection).arenas.get("arena")!);
    expect(onKernel).toEqual(onSim);
  });

  test("an object that was written loads like clang's", () => {
    const spec = readElf(object());
    const again = readElf(writeElf(spec));
    expect(again.maps.get("arena")!.contents).toEqual(spec.maps.get("arena")!.contents);
    expect(again.variables!.get("table")).toMatchObject({ map: "arena", size: 6000 });
    if (!skipKernel) linuxTarget().load(again).close();
  });

  test("variables without room, or without an arena, are refused", () => {
    expect(() => readElf(object(SOURCE.replace("max_entries, 16", "max_entries, 1")))).toThrow(
      ".addr_space.1: 6004 bytes of variables, arena arena has 4096",
    );
    expect(() => readElf(object(SOURCE.replace("type, 33", "type, 2")))).toThrow(
      ".addr_space.1: variables of an arena need one map of that type in .maps, the object has none",
    );
  });
});
