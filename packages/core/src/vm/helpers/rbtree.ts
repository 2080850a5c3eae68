/**
 * A red-black tree over nodes in the memory, of the kernel's shape: programs see its root and the children of a node.
 * A node is parent with colour in bit 0 (1 black), right, left, owner, 8 bytes each; the root is {node, leftmost}.
 * Source: include/linux/rbtree.h (layout); the algorithm is the textbook's with the kernel's choices where it has any.
 */
import type { Memory } from "../../mem/index.ts";

const PARENT = 0;
export const RIGHT = 8;
export const LEFT = 16;
const ROOT = 0;
const LEFTMOST = 8;
const BLACK = 1;

export class RbTree {
  readonly #memory: Memory;
  readonly root: number;

  constructor(memory: Memory, root: number) {
    this.#memory = memory;
    this.root = root >>> 0;
  }

  get top(): number {
    return this.#get(this.root + ROOT);
  }

  get first(): number {
    return this.#get(this.root + LEFTMOST);
  }

  child(node: number, side: number): number {
    return node ? this.#get(node + side) : 0;
  }

  /** Hangs a node below `parent` (0: the tree is empty) and balances. `leftmost`: nothing stands before it. */
  insert(node: number, parent: number, side: number, leftmost: boolean): void {
    this.#set(node + PARENT, parent);
    this.#set(node + LEFT, 0);
    this.#set(node + RIGHT, 0);
    if (parent) this.#set(parent + side, node);
    else this.#set(this.root + ROOT, node);
    if (leftmost) this.#set(this.root + LEFTMOST, node);
    this.#balance(node);
  }

  /** Takes a node out. Its own words are left as they are. */
  erase(node: number): void {
    if (this.first === node) this.#set(this.root + LEFTMOST, this.#next(node));
    const left = this.#get(node + LEFT);
    const right = this.#get(node + RIGHT);
    let black: boolean;
    let moved: number;
    let parent: number;
    if (left && right) {
      // The next node takes its place.
      let heir = right;
      while (this.#get(heir + LEFT)) heir = this.#get(heir + LEFT);
      black = this.#isBlack(heir);
      moved = this.#get(heir + RIGHT);
      parent = this.#parent(heir);
      if (parent === node) parent = heir;
      else {
        this.#replace(heir, moved);
        this.#set(heir + RIGHT, right);
        this.#setParent(right, heir);
      }
      this.#replace(node, heir);
      this.#set(heir + LEFT, left);
      this.#setParent(left, heir);
      this.#paint(heir, this.#isBlack(node));
    } else {
      black = this.#isBlack(node);
      moved = left || right;
      parent = this.#parent(node);
      this.#replace(node, moved);
    }
    if (black) this.#fill(moved, parent);
  }

  #next(node: number): number {
    let at = this.#get(node + RIGHT);
    if (at) {
      while (this.#get(at + LEFT)) at = this.#get(at + LEFT);
      return at;
    }
    let child = node;
    at = this.#parent(node);
    while (at && this.#get(at + RIGHT) === child) {
      child = at;
      at = this.#parent(at);
    }
    return at;
  }

  /** After a red node was put under what may be a red one. */
  #balance(start: number): void {
    let node = start;
    for (;;) {
      let parent = this.#parent(node);
      if (!parent) break;
      if (this.#isBlack(parent)) return;
      const grand = this.#parent(parent);
      const side = this.#get(grand + LEFT) === parent ? LEFT : RIGHT;
      const other = side === LEFT ? RIGHT : LEFT;
      const uncle = this.#get(grand + other);
      if (uncle && !this.#isBlack(uncle)) {
        this.#paint(uncle, true);
        this.#paint(parent, true);
        this.#paint(grand, false);
        node = grand;
        continue;
      }
      if (this.#get(parent + other) === node) {
        this.#rotate(parent, side);
        [node, parent] = [parent, node];
      }
      this.#rotate(grand, other);
      this.#paint(parent, true);
      this.#paint(grand, false);
      return;
    }
    this.#paint(node, true);
  }

  /** After a black node went: `start` (0 for none) below `above` is one black short. */
  #fill(start: number, above: number): void {
    let node = start;
    let parent = above;
    while (node !== this.top && (node === 0 || this.#isBlack(node))) {
      if (!parent) break;
      const side = this.#get(parent + LEFT) === node ? LEFT : RIGHT;
      const other = side === LEFT ? RIGHT : LEFT;
      let sibling = this.#get(parent + other);
      if (!this.#isBlack(sibling)) {
        this.#paint(sibling, true);
        this.#paint(parent, false);
        this.#rotate(parent, side);
        sibling = this.#get(parent + other);
      }
      const near = this.#get(sibling + side);
      let far = this.#get(sibling + other);
      if ((!near || this.#isBlack(near)) && (!far || this.#isBlack(far))) {
        this.#paint(sibling, false);
        node = parent;
        parent = this.#parent(node);
        continue;
      }
      if (!far || this.#isBlack(far)) {
        this.#paint(near, true);
        this.#paint(sibling, false);
        this.#rotate(sibling, other);
        sibling = this.#get(parent + other);
        far = this.#get(sibling + other);
      }
      this.#paint(sibling, this.#isBlack(parent));
      this.#paint(parent, true);
      if (far) this.#paint(far, true);
      this.#rotate(parent, side);
      node = this.top;
      break;
    }
    if (node) this.#paint(node, true);
  }

  /** `node` goes down to `side`, its child on the other side takes its place. */
  #rotate(node: number, side: number): void {
    const other = side === LEFT ? RIGHT : LEFT;
    const child = this.#get(node + other);
    const inner = this.#get(child + side);
    this.#set(node + other, inner);
    if (inner) this.#setParent(inner, node);
    this.#replace(node, child);
    this.#set(child + side, node);
    this.#setParent(node, child);
  }

  /** Puts `child` (0 for none) where `node` hangs. */
  #replace(node: number, child: number): void {
    const parent = this.#parent(node);
    if (!parent) this.#set(this.root + ROOT, child);
    else this.#set(parent + (this.#get(parent + LEFT) === node ? LEFT : RIGHT), child);
    if (child) this.#setParent(child, parent);
  }

  #parent(node: number): number {
    return (this.#get(node + PARENT) & ~BLACK) >>> 0;
  }
  #setParent(node: number, parent: number): void {
    this.#set(node + PARENT, parent | (this.#get(node + PARENT) & BLACK));
  }
  #isBlack(node: number): boolean {
    return (this.#get(node + PARENT) & BLACK) !== 0;
  }
  #paint(node: number, black: boolean): void {
    this.#set(node + PARENT, black ? this.#get(node + PARENT) | BLACK : this.#get(node + PARENT) & ~BLACK);
  }
  #get(at: number): number {
    return this.#memory.view.getUint32(at, true);
  }
  #set(at: number, value: number): void {
    this.#memory.view.setUint32(at, value, true);
    this.#memory.view.setUint32(at + 4, 0, true);
  }
}
