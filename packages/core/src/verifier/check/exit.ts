/**
 * What must hold when a program ends: nothing held, and a return value that the program type may give.
 * Source: kernel/bpf/verifier.c `check_return_code`, `check_resource_leak`.
 */
import { AttachType, helperById, ProgType, progTypeName } from "../../object/index.ts";
import type { Context } from "../context.ts";
import { isPointer, Kind, kindName } from "../domain/reg.ts";
import { allows } from "../profile.ts";
import { tracedRange } from "./traced.ts";

const P = ProgType;
const A = AttachType;

/** attach types of sock_addr programs that can only let pass. */
const ONLY_ONE: ReadonlySet<number> = new Set([
  A.BPF_CGROUP_UDP4_RECVMSG,
  A.BPF_CGROUP_UDP6_RECVMSG,
  A.BPF_CGROUP_UNIX_RECVMSG,
  A.BPF_CGROUP_INET4_GETPEERNAME,
  A.BPF_CGROUP_INET6_GETPEERNAME,
  A.BPF_CGROUP_UNIX_GETPEERNAME,
  A.BPF_CGROUP_INET4_GETSOCKNAME,
  A.BPF_CGROUP_INET6_GETSOCKNAME,
  A.BPF_CGROUP_UNIX_GETSOCKNAME,
]);

/** Range of the return value; undefined where any number goes. */
export function returnRange(progType: number, attachType: number): readonly [min: number, max: number] | undefined {
  switch (progType) {
    case P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      if (ONLY_ONE.has(attachType)) return [1, 1];
      return attachType === A.BPF_CGROUP_INET4_BIND || attachType === A.BPF_CGROUP_INET6_BIND ? [0, 3] : [0, 1];
    case P.BPF_PROG_TYPE_CGROUP_SKB:
      return attachType === A.BPF_CGROUP_INET_EGRESS ? [0, 3] : [0, 1];
    case P.BPF_PROG_TYPE_CGROUP_SOCK:
    case P.BPF_PROG_TYPE_SOCK_OPS:
    case P.BPF_PROG_TYPE_CGROUP_DEVICE:
    case P.BPF_PROG_TYPE_CGROUP_SYSCTL:
    case P.BPF_PROG_TYPE_CGROUP_SOCKOPT:
    case P.BPF_PROG_TYPE_SK_LOOKUP:
    case P.BPF_PROG_TYPE_NETFILTER:
      return [0, 1];
    default:
      return undefined;
  }
}

/** Refuses leaving with a reference, a lock or a critical section. `how` begins the message. */
export function checkNothingHeld(cx: Context, how: string): void {
  const { state } = cx;
  if (state.lock) cx.reject("lock", `${how} while the spin lock is held`, { fix: "unlock it on this path first" });
  if (state.rcuDepth) cx.reject("rcu", `${how} inside an RCU read section`, { fix: "call bpf_rcu_read_unlock first" });
  if (state.preemptDepth)
    cx.reject("preempt", `${how} with preemption disabled`, { fix: "call bpf_preempt_enable first" });
  if (state.resLocks.length)
    cx.reject("lock", `${how} while a bpf_res_spin_lock is held`, { fix: "unlock it on this path first" });
  if (state.irqs.length) cx.reject("irq", `${how} with interrupts disabled`, { fix: "restore the saved state first" });
  const ref = state.refs[0];
  if (ref) {
    cx.reject("reference", `${how} without releasing the reference that instruction ${ref.pc} acquired`, {
      fix: `call ${releaseOf(cx, ref.pc)} on this path, too`,
    });
  }
}

/** The functions that give back what an instruction acquired. */
function releaseOf(cx: Context, pc: number): string {
  const insn = cx.program.insns[pc];
  const kfunc = cx.kfuncAt.get(pc)?.name.replace(/^bpf_(xdp|skb)_ct_/, "bpf_ct_");
  if (kfunc) {
    const iterator = /^(bpf_iter_.*)_new$/.exec(kfunc)?.[1];
    if (iterator) return `${iterator}_destroy`;
    const object = /^bpf_(task|cgroup|cpumask|crypto_ctx|ct)_/.exec(kfunc)?.[1];
    return object ? `bpf_${object}_release` : "the function that releases it";
  }
  switch (insn && helperById(insn.imm, cx.progType)?.name) {
    case "ringbuf_reserve":
      return "bpf_ringbuf_submit or bpf_ringbuf_discard";
    case "ringbuf_reserve_dynptr":
      return "bpf_ringbuf_submit_dynptr or bpf_ringbuf_discard_dynptr (after a reservation that failed, too)";
    case "kptr_xchg":
      return "what releases the object, or bpf_kptr_xchg back into a map,";
    default:
      return "bpf_sk_release";
  }
}

/** What 0 and 1 are called where a hook knows only these. */
function verdictNames(progType: number): string {
  if (progType === P.BPF_PROG_TYPE_NETFILTER) return ": NF_DROP or NF_ACCEPT";
  if (progType === P.BPF_PROG_TYPE_SK_LOOKUP) return ": SK_DROP or SK_PASS";
  return progType >= P.BPF_PROG_TYPE_CGROUP_SKB && progTypeName(progType).startsWith("cgroup")
    ? ": 1 lets it pass, 0 refuses it"
    : "";
}

/** Refuses a return value that is a pointer or outside of what the program type may return. */
export function checkReturn(cx: Context): void {
  const r0 = cx.reg(0);
  const subprogram = cx.root !== 0 && cx.root !== cx.exceptionCallback;
  if (subprogram && r0.kind !== Kind.SCALAR) {
    cx.reject("return-value", `r0 is a ${kindName(r0)} at the end of a global function, which returns numbers`, {
      register: 0,
    });
  }
  if (subprogram) return;
  const range = cx.traced ? tracedRange(cx.traced) : returnRange(cx.progType, cx.attachType);
  if (!range || range === "void") return;
  const anyResult = cx.progType === P.BPF_PROG_TYPE_LSM && cx.attachType !== A.BPF_LSM_CGROUP;
  if (anyResult && !allows(cx.profile, "lsmResult")) return;
  const [min, most] = range;
  const bind = cx.progType === P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR && most === 3;
  const max = bind && !allows(cx.profile, "bindResult") ? 1 : most;
  const wanted = min === max ? String(min) : `${min} to ${max}`;
  if (isPointer(r0)) {
    cx.reject(
      "return-value",
      `r0 is a ${kindName(r0)} at the program's end: ${progTypeName(cx.progType)} programs return ${wanted}`,
      {
        register: 0,
      },
    );
  }
  cx.markPrecise(r0.node);
  if (r0.val.smin < BigInt(min) || r0.val.smax > BigInt(max)) {
    const got = r0.val.isConst ? String(r0.val.smin) : "not known to be in that range";
    cx.reject("return-value", `the program returns ${got}: ${progTypeName(cx.progType)} programs return ${wanted}`, {
      register: 0,
      fix: `return only ${wanted}${verdictNames(cx.progType)}`,
    });
  }
}

/** What bpf_throw is given becomes the program's result, where no callback of its own makes one of it. */
export function checkThrown(cx: Context): void {
  if (cx.exceptionCallback !== undefined) return;
  const range = cx.traced ? tracedRange(cx.traced) : returnRange(cx.progType, cx.attachType);
  if (!range || range === "void") return;
  const { val, node } = cx.reg(1);
  cx.markPrecise(node);
  if (val.smin >= BigInt(range[0]) && val.smax <= BigInt(range[1])) return;
  cx.reject("return-value", `the exception's value is not known to be ${range[0]} to ${range[1]}`, { register: 1 });
}
