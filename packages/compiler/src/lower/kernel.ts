/**
 * The kernel's own structs that programs see through pointers: sockets and flow keys, by the one table of ctx layouts.
 * A field is `snd_cwnd` there and `sndCwnd` here.
 */
import { type CtxField, type CtxLayout, FLOW_KEYS_SIZE, SOCKET_LAYOUT, TCP_SOCK_LAYOUT } from "@ebplane/core/object";
import {
  BE16,
  BE32,
  type Field,
  I32,
  layoutStruct,
  type MemType,
  type StructType,
  U8,
  U16,
  U32,
  U64,
} from "../check/index.ts";
import { camelCase } from "./helpers.ts";

/** Fields in network order, by their names in the kernel; in `bpf_sk_lookup` and others `protocol` is IPPROTO_*. */
const ORDERED: Readonly<Record<string, MemType>> = {
  vlan_proto: BE16,
  remote_ip4: BE32,
  local_ip4: BE32,
  user_ip4: BE32,
  msg_src_ip4: BE32,
  src_ip4: BE32,
  dst_ip4: BE32,
  user_port: BE16,
  dst_port: BE16,
  eth_protocol: BE16,
  "__sk_buff.protocol": BE16,
  // The port lies in the last two bytes of four.
  remote_port: BE32,
  "bpf_sk_lookup.remote_port": BE16,
  "bpf_sockopt.level": I32,
  "bpf_sockopt.optname": I32,
  "bpf_sockopt.optlen": I32,
  "bpf_sockopt.retval": I32,
};

/** What a field of a context or of one of the kernel's structs is; undefined for those that hold something else. */
export function fieldType(struct: string, f: CtxField): MemType | undefined {
  if (f.value !== "scalar") return undefined;
  if (f.name.endsWith("_ip6")) return { kind: "array", element: BE32, length: f.size / 4 };
  const known = ORDERED[`${struct}.${f.name}`] ?? ORDERED[f.name];
  if (known) return known;
  if (f.size === 1) return U8;
  if (f.size === 2) return U16;
  if (f.size === 4) return U32;
  if (f.size === 8) return U64;
  return { kind: "array", element: U32, length: f.size / 4 };
}

function fromLayout(name: string, layout: CtxLayout): StructType {
  const fields = new Map<string, Field>();
  for (const f of layout.fields) {
    const type = fieldType(layout.struct, f);
    const field = camelCase(f.name);
    if (type && !fields.has(field)) fields.set(field, { name: field, type, offset: f.offset, bit: undefined });
  }
  return { kind: "struct", name, form: "struct", fields, size: layout.size, align: 8, length: undefined };
}

export const SOCKET: StructType = fromLayout("Socket", SOCKET_LAYOUT);
export const TCP_SOCKET: StructType = fromLayout("TcpSocket", TCP_SOCK_LAYOUT);

/** `struct bpf_flow_keys`. Source: include/uapi/linux/bpf.h. */
export const FLOW_KEYS: StructType = {
  kind: "struct",
  name: "FlowKeys",
  form: "struct",
  fields: new Map(
    (
      [
        ["nhoff", U16, 0],
        ["thoff", U16, 2],
        ["addrProto", U16, 4],
        ["isFrag", U8, 6],
        ["isFirstFrag", U8, 7],
        ["isEncap", U8, 8],
        ["ipProto", U8, 9],
        ["nProto", BE16, 10],
        ["sport", BE16, 12],
        ["dport", BE16, 14],
        ["ipv4Src", BE32, 16],
        ["ipv4Dst", BE32, 20],
        ["ipv6Src", { kind: "array", element: BE32, length: 4 }, 16],
        ["ipv6Dst", { kind: "array", element: BE32, length: 4 }, 32],
        ["flags", U32, 48],
        ["flowLabel", BE32, 52],
      ] as const
    ).map(([name, type, offset]) => [name, { name, type, offset, bit: undefined }]),
  ),
  size: FLOW_KEYS_SIZE,
  align: 4,
  length: undefined,
};

/** A struct that only helpers touch. Its name makes the kernel know it in a map's value. */
export function opaque(name: string, size: number, align: number): StructType {
  return { kind: "struct", name, form: "struct", fields: new Map(), size, align, length: undefined };
}

export const SPIN_LOCK: StructType = opaque("bpf_spin_lock", 4, 4);
export const TIMER: StructType = opaque("bpf_timer", 16, 8);

/** A part of a kernel struct of which nothing but the name is said. */
const OPAQUE = new Map<string, StructType>();

export function opaqueStruct(kernel: string): StructType {
  let type = OPAQUE.get(kernel);
  if (!type) {
    type = { ...layoutStruct(`struct ${kernel}`, "kernel", [], false, undefined), kernel };
    OPAQUE.set(kernel, type);
  }
  return type;
}
