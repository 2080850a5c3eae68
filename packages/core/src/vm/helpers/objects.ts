/**
 * Objects that programs make (bpf_obj_new), and the lists and trees that hold them. An object is memory of a struct of
 * the program's BTF; its special fields, and those of map values, own what they point to: what ends takes it along.
 * Source: kernel/bpf/helpers.c 6.18 `bpf_obj_new_impl`, `__bpf_list_add`, `__bpf_list_del`, `__bpf_rbtree_add`,
 * `bpf_obj_free_fields`, kernel/bpf/syscall.c.
 */
import type { Btf } from "../../btf/index.ts";
import { sizeOf } from "../../btf/index.ts";
import { Errno } from "../../errors/index.ts";
import type { Memory } from "../../mem/index.ts";
import { type MapField, structFields } from "../../verifier/index.ts";
import { type Connection, type Env, type HelperFactory, type HelperImpl, helper, type LoopHelper } from "../env.ts";
import type { CallbackLoop } from "../interp.ts";
import { LEFT, RbTree, RIGHT } from "./rbtree.ts";

/** Offsets in a list's head and nodes, and of the owner in a list's and in a tree's node. */
const NEXT = 0;
const PREVIOUS = 8;
const LIST_OWNER = 16;
const TREE_OWNER = 24;

interface ObjectType {
  readonly size: number;
  readonly fields: readonly MapField[];
}

interface LiveObject {
  readonly type: ObjectType;
  /** Bytes from one CPU's copy to the next; 0 for an object of one copy. */
  readonly stride: number;
}

/** The objects of a machine as data: see `Objects.save`. */
export interface ObjectsState {
  readonly live: readonly (readonly [number, LiveObject])[];
  readonly connections: readonly (readonly [number, Connection])[];
}

const types = new WeakMap<Btf, Map<number, ObjectType>>();

function objectType(btf: Btf, id: number): ObjectType {
  let known = types.get(btf);
  if (!known) types.set(btf, (known = new Map()));
  let type = known.get(id);
  if (!type) known.set(id, (type = { size: sizeOf(btf, id), fields: structFields(btf, id) }));
  return type;
}

/** The objects of one machine. */
export class Objects {
  readonly #memory: Memory;
  readonly #live = new Map<number, LiveObject>();

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** Connections that programs hold, by the address they were given. */
  readonly connections = new Map<number, Connection>();

  /** What a snapshot keeps; the memory is kept by its owner. */
  save(): ObjectsState {
    return { live: [...this.#live], connections: [...this.connections] };
  }

  load({ live, connections }: ObjectsState): void {
    this.#live.clear();
    for (const [at, object] of live) this.#live.set(at, object);
    this.connections.clear();
    for (const [at, connection] of connections) this.connections.set(at, connection);
  }

  /** How many there are: a program that gives back what it takes leaves none beyond those in maps. */
  get count(): number {
    return this.#live.size;
  }

  /** A zeroed object with a count of one; 0 when the memory is full. */
  make(type: ObjectType, copies = 0): number {
    const stride = copies ? (type.size + 7) & ~7 : 0;
    const size = copies ? stride * copies : type.size;
    const at = this.#memory.tryAlloc(Math.max(8, size));
    if (!at) return 0;
    this.#memory.u8.fill(0, at, at + size);
    for (const { kind, offset } of type.fields) {
      if (kind === "refcount") this.#memory.view.setUint32(at + offset, 1, true);
    }
    this.#live.set(at, { type, stride });
    return at;
  }

  /** Another reference to a counted object. */
  acquire(at: number): number {
    const object = this.#live.get(at >>> 0);
    const count = object?.type.fields.find((f) => f.kind === "refcount");
    if (!object || !count) return 0;
    const place = (at >>> 0) + count.offset;
    this.#memory.view.setUint32(place, this.#memory.view.getUint32(place, true) + 1, true);
    return at;
  }

  /** Gives a reference back: the last one ends the object, and what its fields own. */
  drop(at: number): void {
    const address = at >>> 0;
    const object = this.#live.get(address);
    if (!object) return;
    const count = object.type.fields.find((f) => f.kind === "refcount");
    if (count) {
      const left = this.#memory.view.getUint32(address + count.offset, true) - 1;
      this.#memory.view.setUint32(address + count.offset, left, true);
      if (left > 0) return;
    }
    this.#live.delete(address);
    this.release(address, object.type.fields);
    this.#memory.free(address);
  }

  /** Ends what lists, trees and pointers in a value own. The value's bytes are the caller's to clear. */
  release(at: number, fields: readonly MapField[]): void {
    const { view } = this.#memory;
    for (const { kind, offset } of fields) {
      const place = at + offset;
      if (kind === "listHead") {
        for (let node = popNode(this.#memory, place, NEXT); node; node = popNode(this.#memory, place, NEXT)) {
          this.drop(this.holderOf(node));
        }
      } else if (kind === "rbRoot") {
        const tree = new RbTree(this.#memory, place);
        for (let node = tree.first; node; node = tree.first) {
          tree.erase(node);
          view.setUint32(node + TREE_OWNER, 0, true);
          this.drop(this.holderOf(node));
        }
      } else if (kind === "kptr") {
        const held = view.getUint32(place, true);
        view.setUint32(place, 0, true);
        if (held) this.drop(held);
      }
    }
  }

  /** The object that a node is a part of. */
  holderOf(node: number): number {
    if (this.#live.has(node)) return node;
    for (const [at, { type }] of this.#live) if (node > at && node < at + type.size) return at;
    return 0;
  }

  /** One CPU's copy of an object made for all; 0 for what is none. */
  copyOf(at: number, cpu: number): number {
    const object = this.#live.get(at >>> 0);
    return object?.stride ? (at >>> 0) + cpu * object.stride : 0;
  }
}

const make = (perCpu: boolean): HelperFactory => {
  return (self) =>
    helper("ii", "u", (env, id) => {
      if (!self.btf) return 0;
      const type = objectType(self.btf, id >>> 0);
      return env.grant(env.objects.make(type, perCpu ? env.runtime.cpus : 0), type.size, "object", true);
    });
};
const drop = helper("ii", "v", (env, at) => {
  env.objects.drop(at);
  env.revoke(at);
  return 0;
});
const push = (side: number): HelperImpl => helper("iiii", "i", (env, head, node) => pushNode(env, head, node, side));

export const OBJECT_KFUNCS: readonly (readonly [string, HelperImpl | HelperFactory])[] = [
  ["bpf_obj_new_impl", make(false)],
  ["bpf_obj_drop_impl", drop],
  ["bpf_percpu_obj_new_impl", make(true)],
  ["bpf_percpu_obj_drop_impl", drop],
  ["bpf_refcount_acquire_impl", helper("ii", "u", (env, at) => env.objects.acquire(at))],
  ["bpf_list_push_front_impl", push(NEXT)],
  ["bpf_list_push_back_impl", push(PREVIOUS)],
  ["bpf_list_pop_front", helper("i", "u", (env, head) => popNode(env.memory, head >>> 0, NEXT))],
  ["bpf_list_pop_back", helper("i", "u", (env, head) => popNode(env.memory, head >>> 0, PREVIOUS))],
  ["bpf_list_front", helper("i", "u", (env, head) => peekNode(env.memory, head >>> 0, NEXT))],
  ["bpf_list_back", helper("i", "u", (env, head) => peekNode(env.memory, head >>> 0, PREVIOUS))],
  [
    "bpf_rbtree_remove",
    helper("ii", "u", (env, root, node) => {
      const { view } = env.memory;
      if (!node || view.getUint32((node >>> 0) + TREE_OWNER, true) !== root >>> 0) return 0;
      new RbTree(env.memory, root).erase(node >>> 0);
      view.setUint32((node >>> 0) + TREE_OWNER, 0, true);
      return node;
    }),
  ],
  ["bpf_rbtree_first", helper("i", "u", (env, root) => new RbTree(env.memory, root).first)],
  ["bpf_rbtree_root", helper("i", "u", (env, root) => new RbTree(env.memory, root).top)],
  ["bpf_rbtree_left", helper("ii", "u", (env, root, node) => child(env, root, node, LEFT))],
  ["bpf_rbtree_right", helper("ii", "u", (env, root, node) => child(env, root, node, RIGHT))],
];

/** per_cpu_ptr, this_cpu_ptr: of objects made for all CPUs; there are no kernel variables. */
export const PERCPU_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* per_cpu_ptr(object, cpu) */ [
    153,
    helper("ii", "u", (env, at, cpu) => (cpu >>> 0 < env.runtime.cpus ? env.objects.copyOf(at, cpu >>> 0) : 0)),
  ],
  /* this_cpu_ptr(object) */ [154, helper("i", "u", (env, at) => env.objects.copyOf(at, env.cpu))],
];

function child(env: Env, root: number, node: number, side: number): number {
  if (env.memory.view.getUint32((node >>> 0) + TREE_OWNER, true) !== root >>> 0) return 0;
  return new RbTree(env.memory, root).child(node >>> 0, side);
}

/** An untouched head is all zeros: it points to itself before its first use. */
function ready(memory: Memory, head: number): void {
  if (memory.view.getUint32(head + NEXT, true)) return;
  setWord(memory, head + NEXT, head);
  setWord(memory, head + PREVIOUS, head);
}

function setWord(memory: Memory, at: number, value: number): void {
  memory.view.setUint32(at, value, true);
  memory.view.setUint32(at + 4, 0, true);
}

/** A node that is in a list or tree already is dropped, as the kernel does it. */
function pushNode(env: Env, list: number, entry: number, side: number): number {
  const { memory } = env;
  const head = list >>> 0;
  const node = entry >>> 0;
  ready(memory, head);
  if (memory.view.getUint32(node + LIST_OWNER, true)) {
    env.objects.drop(env.objects.holderOf(node));
    return -Errno.EINVAL;
  }
  const other = side === NEXT ? PREVIOUS : NEXT;
  const after = memory.view.getUint32(head + side, true);
  setWord(memory, node + side, after);
  setWord(memory, node + other, head);
  setWord(memory, head + side, node);
  setWord(memory, after + other, node);
  setWord(memory, node + LIST_OWNER, head);
  return 0;
}

function peekNode(memory: Memory, head: number, side: number): number {
  ready(memory, head);
  const node = memory.view.getUint32(head + side, true);
  return node === head ? 0 : node;
}

function popNode(memory: Memory, head: number, side: number): number {
  const node = peekNode(memory, head, side);
  if (!node) return 0;
  const [next, previous] = [memory.view.getUint32(node + NEXT, true), memory.view.getUint32(node + PREVIOUS, true)];
  setWord(memory, previous + NEXT, next);
  setWord(memory, next + PREVIOUS, previous);
  setWord(memory, node + NEXT, node);
  setWord(memory, node + PREVIOUS, node);
  setWord(memory, node + LIST_OWNER, 0);
  return node;
}

/** bpf_rbtree_add_impl(root, node, less, meta, offset): the program's callback says which of two nodes comes first. */
export const RBTREE_ADD: LoopHelper = {
  args: "iii",
  callback: 3,
  start(env, list, entry, less): CallbackLoop | number {
    const { memory } = env;
    const root = list >>> 0;
    const node = entry >>> 0;
    if (memory.view.getUint32(node + TREE_OWNER, true)) {
      env.objects.drop(env.objects.holderOf(node));
      return -Errno.EINVAL;
    }
    const tree = new RbTree(memory, root);
    const hang = (parent: number, side: number, leftmost: boolean): number => {
      tree.insert(node, parent, side, leftmost);
      setWord(memory, node + TREE_OWNER, root);
      return 0;
    };
    if (!tree.top) return hang(0, LEFT, true);
    return {
      fn: less,
      args: Int32Array.of(node, tree.top, 0, 0, 0),
      i: 0,
      n: 0,
      // The node that it is compared with, and whether every turn so far was to the left.
      data: [tree.top, 1],
      result: 0,
      next(r0) {
        const [at, leftmost] = this.data as [number, number];
        const side = r0 !== 0 ? LEFT : RIGHT;
        const stillFirst = leftmost !== 0 && side === LEFT;
        const below = tree.child(at, side);
        if (!below) {
          this.result = hang(at, side, stillFirst);
          return false;
        }
        this.data[0] = below;
        this.data[1] = stillFirst ? 1 : 0;
        this.args[0] = node;
        this.args[1] = below;
        return true;
      },
    };
  },
};
