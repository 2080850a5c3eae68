/**
 * The order of blocks, and the jumps that it needs: fall through where possible, turn conditions around, send jumps to
 * a jump straight to its target, and copy short returns in place of a jump to them.
 */
import { OP_EXIT, OP_JA, OP_MASK } from "@ebplane/core/isa";
import {
  isCondJump,
  type MBlock,
  type MInsn,
  MOV32_IMM,
  MOV64_IMM,
  MOV64_REG,
  machineSuccessors,
  minsn,
} from "../regalloc/index.ts";

/** A return of this many instructions or fewer is copied instead of jumped to. */
const SHORT_RETURN = 2;

const OPPOSITE = new Map<number, number>([
  [0x10, 0x50],
  [0x50, 0x10],
  [0x20, 0xb0],
  [0xb0, 0x20],
  [0x30, 0xa0],
  [0xa0, 0x30],
  [0x60, 0xd0],
  [0xd0, 0x60],
  [0x70, 0xc0],
  [0xc0, 0x70],
]);

/** Where control ends up that goes to an empty block. */
function through(b: MBlock): MBlock {
  let x = b;
  for (let n = 0; n < 64 && !x.insns.length && x.next; n++) x = x.next;
  return x;
}

function isReturn(b: MBlock): boolean {
  return b.insns.at(-1)?.opcode === OP_EXIT;
}

/** Blocks in their final order, each ending with what it needs. `next` and the jumps' targets are its successors still. */
export function layoutBlocks(entry: MBlock): MBlock[] {
  const order = orderBlocks(entry);
  for (const b of order) {
    for (const i of b.insns) if (i.target) i.target = through(i.target);
    if (b.next) b.next = through(b.next);
  }
  mergeEqual(order);
  // Both ways to the same place: no test.
  for (const b of order) {
    const last = b.insns.at(-1);
    if (last && isCondJump(last) && last.target === b.next) b.insns.pop();
  }
  const reachable = orderBlocks(entry);
  for (const b of reachable) {
    // A short return is cheaper than the jump to it.
    const to = b.next;
    if (to && isReturn(to) && to.insns.length <= SHORT_RETURN && !to.insns.some(isCondJump)) {
      b.insns.push(...to.insns.map((i) => ({ ...i })));
      b.next = undefined;
      returnAtOnce(b);
    }
  }
  const final = rotate(cheapest([orderBlocks(entry), chain(orderBlocks(entry))]));
  for (const [k, b] of final.entries()) {
    const following = final[k + 1];
    if (!b.next || b.next === following) continue;
    const last = b.insns.at(-1);
    if (last && isCondJump(last) && last.target === following && OPPOSITE.has(last.opcode & OP_MASK)) {
      last.opcode = (last.opcode & ~OP_MASK) | OPPOSITE.get(last.opcode & OP_MASK)!;
      last.target = b.next;
      b.next = following;
    } else b.insns.push(minsn(OP_JA, last?.at ?? 0, { target: b.next }));
  }
  return final;
}

/** `rX = constant; r0 = rX; exit`: the copied return needs no detour. */
function returnAtOnce(b: MBlock): void {
  const [value, move, exit] = b.insns.slice(-3);
  if (exit?.opcode !== OP_EXIT || move?.opcode !== MOV64_REG || move.dst !== 0 || !value) return;
  const constant = value.opcode === MOV64_IMM || value.opcode === MOV32_IMM;
  if (constant && value.dst === move.src && value.dst !== 10) b.insns.splice(-3, 2, { ...value, dst: 0 });
}

/** Blocks that do the same and go on alike become one. */
function mergeEqual(order: readonly MBlock[]): void {
  for (let again = true; again; ) {
    again = false;
    const first = new Map<string, MBlock>();
    const ids = new Map<MBlock, number>(order.map((b, k) => [b, k]));
    const same = new Map<MBlock, MBlock>();
    for (const b of order) {
      if (b === order[0]) continue;
      const key = `${b.insns.map((i) => insnKey(i, ids)).join(";")}>${b.next ? ids.get(b.next) : ""}`;
      const other = first.get(key);
      if (other) same.set(b, other);
      else first.set(key, b);
    }
    for (const b of order) {
      for (const i of b.insns) {
        const to = i.target && same.get(i.target);
        if (to) {
          i.target = to;
          again = true;
        }
      }
      const to = b.next && same.get(b.next);
      if (to) {
        b.next = to;
        again = true;
      }
    }
  }
}

function insnKey(i: MInsn, ids: ReadonlyMap<MBlock, number>): string {
  const target = i.target ? ids.get(i.target) : "";
  // The same text at two places is two blocks: each has its own lines.
  const asm = i.asm ? `${i.at}` : "";
  return `${i.opcode}.${asm}.${i.dst}.${i.src}.${i.off}.${i.imm}.${i.imm2}.${i.map ?? ""}.${i.data?.id ?? ""}.${i.callee?.id ?? ""}.${i.external ?? ""}.${i.core ? `${i.core.kind} ${i.core.access} ${i.at}` : ""}.${i.slot?.id ?? ""}.${i.memory ?? ""}.${target}`;
}

function orderBlocks(entry: MBlock): MBlock[] {
  const seen = new Set<MBlock>([entry]);
  const out: MBlock[] = [];
  const stack: { b: MBlock; rest: MBlock[] }[] = [{ b: entry, rest: machineSuccessors(entry) }];
  while (stack.length) {
    const top = stack.at(-1)!;
    const s = top.rest.shift();
    if (!s) {
      out.push(top.b);
      stack.pop();
    } else if (!seen.has(s)) {
      seen.add(s);
      stack.push({ b: s, rest: machineSuccessors(s) });
    }
  }
  return out.reverse();
}

/** The order that needs the fewest jumps. */
function cheapest(orders: readonly MBlock[][]): MBlock[] {
  const cost = (order: readonly MBlock[]) => {
    let jumps = 0;
    for (const [k, b] of order.entries()) {
      if (!b.next || b.next === order[k + 1]) continue;
      const last = b.insns.at(-1);
      if (!(last && isCondJump(last) && last.target === order[k + 1])) jumps += 10 ** b.depth;
    }
    return jumps;
  };
  return orders.reduce((best, o) => (cost(o) < cost(best) ? o : best));
}

/**
 * A loop's last block, which counts and goes round, stands before its first where others jump to it: who goes on with the
 * next round jumps once then and not twice. The loop is entered by a jump past it.
 */
function rotate(order: readonly MBlock[]): MBlock[] {
  const out = [...order];
  for (const b of order) {
    const last = b.insns.at(-1);
    const at = out.indexOf(b);
    const head = last && isCondJump(last) && OPPOSITE.has(last.opcode & OP_MASK) ? out.indexOf(last.target!) : -1;
    // The first block of all has to stay where it is, and who falls into this one goes on doing so.
    if (head < 1 || head >= at || out[at - 1]!.next === b) continue;
    out.splice(at, 1);
    out.splice(head, 0, b);
  }
  return out;
}

/** Follows fall-through edges as far as they lead to blocks that are not placed yet. */
function chain(order: readonly MBlock[]): MBlock[] {
  const placed = new Set<MBlock>();
  const out: MBlock[] = [];
  for (const start of order) {
    let b: MBlock | undefined = start;
    while (b && !placed.has(b)) {
      placed.add(b);
      out.push(b);
      const next: MBlock | undefined = b.next;
      b = next && !placed.has(next) ? next : undefined;
    }
  }
  return out;
}
