/**
 * `for (const i of range(n))`: a loop that the verifier walks round by round where the rounds are few, and one over the
 * kernel's own counter (`bpf_iter_num`), whose body is walked until nothing new is found, where they are many or nobody
 * bounds them.
 */
import { isGplCompatible, KFUNC_PROTOS, KFUNCS } from "@ebplane/core/object";
import { U32 } from "../check/index.ts";
import { type Block, constant, type Insn, type Region, upperBound } from "../ir/index.ts";
import { requireKfunc } from "./allowed.ts";
import { type Context, forget, refuse } from "./context.ts";
import { toScalar } from "./convert.ts";
import type { Scope } from "./scope.ts";
import type { Val } from "./values.ts";

/** Rounds that the verifier is left to walk. Each that branches is a state it keeps: it has room for 8,192. */
export const MOST_WALKED = 4096;
/** Four instructions a round, and no verifier walks more than a million. */
const MOST_ANYHOW = 250_000;
/** `BPF_MAX_LOOPS`: the kernel's counter does not count further. Source: include/linux/bpf.h. */
const MOST_COUNTED = 8n * 1024n * 1024n;
/** What the counter points to: nothing else is there. */
const COUNT: Region = { kind: "map", name: "the kernel's counter" };

/** Lowers the body with the counter bound to its name; `exit` is known to breaks and returns in it. */
export type Body = (counter: Insn, exit: { onBreak: Block; onContinue: Block; leave?: () => void }) => void;

export function rangeLoop(cx: Context, over: Val & { k: "range" }, at: number, body: Body): void {
  const start = toScalar(cx, over.start, U32, at);
  const end = toScalar(cx, over.end, U32, at);
  const rounds = start.op === "const" && end.op === "const" ? end.value - start.value : undefined;
  if (rounds !== undefined && rounds > MOST_COUNTED) {
    refuse(cx, at, `range: ${rounds} rounds are more than a program may make: ${MOST_COUNTED}`);
  }
  forgetVariables(cx);
  const few = rounds === undefined ? isBounded(cx, end, new Set()) : rounds <= MOST_WALKED;
  // Without the counter, which is for GPL-compatible programs and younger kernels, short rounds may still be walked.
  const free = !isGplCompatible(cx.license ?? "");
  const must = rounds === undefined ? free : (free || !cx.forms.counter) && rounds <= MOST_ANYHOW;
  if (few || must || rounds === 0n) walked(cx, start, end, at, body);
  else counted(cx, start, end, at, body);
}

/** A loop changes variables that facts are about: nothing of them holds at its start. */
export function forgetVariables(cx: Context): void {
  for (let s: Scope | undefined = cx.scope; s; s = s.parent) {
    for (const b of s.names.values()) if (b.kind === "var") forget(cx, b.id);
  }
}

/** The end is known to be small, or something before the loop compares it: the verifier may find a bound. */
function isBounded(cx: Context, end: Insn, seen: Set<Insn>): boolean {
  if (upperBound(end) <= BigInt(MOST_WALKED)) return true;
  if (end.op === "const" || seen.has(end)) return false;
  seen.add(end);
  if (isCompared(cx.b.block, end)) return true;
  // What it was made from may be what is compared.
  return (
    end.op !== "load" &&
    end.op !== "call" &&
    end.args.length > 0 &&
    end.args.every((a) => a.op === "const" || isBounded(cx, a, seen))
  );
}

function isCompared(from: Block, v: Insn): boolean {
  const seen = new Set<Block>();
  const work = [from];
  for (let b = work.pop(); b; b = work.pop()) {
    if (seen.has(b)) continue;
    seen.add(b);
    for (const p of b.preds) {
      const t = p.term;
      if (
        t?.kind === "br" &&
        t.b.op === "const" &&
        t.b.value <= BigInt(MOST_WALKED) &&
        t.cmp !== "eq" &&
        t.cmp !== "ne"
      ) {
        if (t.a === v) return true;
      }
      work.push(p);
    }
  }
  return false;
}

function walked(cx: Context, start: Insn, end: Insn, at: number, body: Body): void {
  const { b } = cx;
  const counter = b.newVar();
  b.write(counter, start);
  const head = b.newBlock();
  const next = b.newBlock();
  const done = b.newBlock();
  b.branch("lt", 32, b.read(counter), end, head, done);
  b.block = head;
  body(b.read(counter), { onBreak: done, onContinue: next });
  b.jump(next);
  b.seal(next);
  b.block = next;
  b.at = at;
  b.write(counter, b.bin("add", 32, b.read(counter), constant(1n)));
  b.branch("lt", 32, b.read(counter), end, head, done);
  b.seal(head);
  b.seal(done);
  b.block = done;
}

function counted(cx: Context, start: Insn, end: Insn, at: number, body: Body): void {
  const { b } = cx;
  if (!cx.forms.counter) {
    const number = end.op === "const" ? `${end.value} rounds` : "a number of rounds that nothing bounds";
    refuse(
      cx,
      at,
      `range: ${number} want the kernel's counter, which Linux has since 6.4, and this is built for ${cx.forms.kernel}: test the number against a bound of at most ${MOST_WALKED} before the loop, or write bpfLoop (since 5.17)`,
    );
  }
  const fromZero = start.op === "const" && start.value === 0n;
  const call = (name: string, args: Insn[]): Insn => {
    requireKfunc(cx, "a loop of so many rounds", KFUNCS.get(name)!, at);
    cx.externals.set(name, { name, proto: KFUNC_PROTOS.get(name)! });
    b.at = at;
    return b.callExternal(name, args, {});
  };
  cx.counted.add(at);
  const done = b.newBlock();
  if (!fromZero) {
    const some = b.newBlock();
    b.branch("lt", 32, start, end, some, done);
    b.seal(some);
    b.block = some;
  }
  const rounds = fromZero ? end : b.bin("sub", 32, end, start);
  const slot = b.slot("a counter", 8, 8, true);
  // Both sides of what it is given are signed there.
  const zero = call("bpf_iter_num_new", [b.frame(slot), constant(0n), atMost(cx, rounds)]);
  const before = b.block;
  const head = b.newBlock();
  const there = b.newBlock();
  const inside = b.newBlock();
  const after = b.newBlock();
  b.jump(head);
  b.block = head;
  const place = call("bpf_iter_num_next", [b.frame(slot)]);
  b.branch("ne", 64, place, constant(0n), there, after);
  b.seal(there);
  b.block = there;
  const k = b.load(4, place, 0, COUNT);
  // Always so, but the verifier would not know.
  b.branch("lt", 32, k, rounds, inside, after);
  b.seal(inside);
  b.block = inside;
  const leave = (): void => void call("bpf_iter_num_destroy", [b.frame(slot)]);
  body(fromZero ? k : b.bin("add", 32, start, k), { onBreak: after, onContinue: head, leave });
  b.jump(head);
  b.seal(head);
  hideStarts(cx, head, before, zero);
  b.seal(after);
  b.block = after;
  leave();
  b.jump(done);
  b.seal(done);
  b.block = done;
}

/**
 * A number that the rounds change must not be known when they begin: what is known of it in the first round (a test of it
 * afterwards is decided) the verifier would hold every later round to, and never find the end. `zero` is what only we know
 * to be 0.
 */
function hideStarts(cx: Context, head: Block, before: Block, zero: Insn): void {
  const { b } = cx;
  const k = head.preds.indexOf(before);
  for (let s: Scope | undefined = cx.scope; s && k >= 0; s = s.parent) {
    for (const bound of s.names.values()) {
      if (bound.kind !== "var" || bound.type.k !== "int" || (s.owner && s.owner !== b)) continue;
      const phi = b.read(bound.vars[0]!, head);
      const start = phi.op === "phi" && phi.block === head ? phi.args[k] : undefined;
      if (start?.op !== "const") continue;
      const here = b.block;
      b.block = before;
      const hidden = b.bin("add", start.value > 0xffff_ffffn ? 64 : 32, b.zext(32, zero), start);
      phi.args[k] = hidden;
      b.block = here;
    }
  }
}

/** No more than the kernel counts: beyond that it would count nothing at all. */
function atMost(cx: Context, rounds: Insn): Insn {
  if (upperBound(rounds) <= MOST_COUNTED) return rounds;
  const { b } = cx;
  const [cut, go] = [b.newBlock(), b.newBlock()];
  const v = b.newVar();
  b.write(v, rounds);
  b.branch("gt", 32, rounds, constant(MOST_COUNTED), cut, go);
  b.seal(cut);
  b.block = cut;
  b.write(v, constant(MOST_COUNTED));
  b.jump(go);
  b.seal(go);
  b.block = go;
  return b.read(v);
}
