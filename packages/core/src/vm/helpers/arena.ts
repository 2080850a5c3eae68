/**
 * Pages of an arena. Inside of programs an arena's pointers are wasm addresses (so that both address-space casts only
 * cut to 32 bits); userspace names the same pages by the arena's own range: see maps/arena.ts.
 * Source: kernel/bpf/arena.c 6.18.
 */
import { ArenaMap } from "../../maps/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";

export const ARENA_KFUNCS: readonly (readonly [string, HelperImpl])[] = [
  /* (map, address or 0, pages, node, flags) */
  [
    "bpf_arena_alloc_pages",
    helper("iiiiw", "u", (env, map, at, pages, _node, flags, high) => {
      const arena = arenaAt(env, map);
      if (!arena || flags | high || pages >>> 0 === 0) return 0;
      const user = arena.allocPages(at ? userAddress(arena, at) : 0n, pages >>> 0);
      return user ? arena.wasmAddress(user) : 0;
    }),
  ],
  /* (map, address, pages) */
  [
    "bpf_arena_free_pages",
    helper("iii", "v", (env, map, at, pages) => {
      const arena = arenaAt(env, map);
      if (arena && at) arena.freePages(userAddress(arena, at), pages >>> 0);
      return 0;
    }),
  ],
];

function arenaAt(env: Env, map: number): ArenaMap | undefined {
  const arena = env.mapAt(map);
  return arena instanceof ArenaMap ? arena : undefined;
}

function userAddress(arena: ArenaMap, wasm: number): bigint {
  return arena.userStart + BigInt((wasm >>> 0) - arena.base);
}
