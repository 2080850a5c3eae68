/** The context's fields, by the one table of ctx layouts: `ctx.ingressIfindex` is `ingress_ifindex`. */
import { ctxLayout } from "@ebplane/core/object";
import { BE16, I32, type IntType, U32, U64 } from "../check/index.ts";
import { type Context, refuse } from "./context.ts";
import { toScalar } from "./convert.ts";
import { camelCase } from "./helpers.ts";
import type { Val } from "./values.ts";

/** Fields in network order, held in a wider one. */
const NETWORK = new Set(["protocol", "vlan_proto"]);
const HIDDEN = new Set(["data", "data_end", "data_meta"]);

/** Reads a field, or writes it when a value is given. */
export function ctxField(cx: Context, name: string, at: number, write?: { value: Val; at: number }): Val {
  if (!cx.program || !cx.ctx) return refuse(cx, at, "the context is only there in a program");
  const layout = ctxLayout(cx.program.type, cx.program.attachType);
  const fields = (layout?.fields ?? []).filter((f) => f.value === "scalar" && !HIDDEN.has(f.name));
  const field = fields.find((f) => camelCase(f.name) === name);
  if (field && field.size > 8 && field.size % 4 === 0 && !write) {
    // An array of words, as `cb`: a reference into the context.
    const type = { kind: "array", element: U32, length: field.size / 4 } as const;
    return { k: "ref", type, address: cx.ctx, off: field.offset, region: { kind: "ctx" }, nullable: false };
  }
  if (!field || (field.size !== 4 && field.size !== 8)) {
    const names = fields.filter((f) => f.size === 4 || f.size === 8).map((f) => camelCase(f.name));
    return refuse(cx, at, `the context has no ${name}: it has ${["length", ...names].join(", ")}`);
  }
  const size = field.size as 4 | 8;
  const net = NETWORK.has(field.name);
  const type: IntType = net ? BE16 : size === 8 ? U64 : U32;
  if (write) {
    if (!(field.write & size)) return refuse(cx, write.at, `ctx.${name} cannot be written`);
    const v = toScalar(cx, write.value, write.value.k === "int" && write.value.type === I32 ? I32 : type, write.at);
    cx.b.store(size, cx.ctx, v, field.offset, { kind: "ctx" });
    return write.value;
  }
  if (!(field.read & size)) return refuse(cx, at, `ctx.${name} cannot be read`);
  const v = cx.b.load(size, cx.ctx, field.offset, { kind: "ctx" });
  return { k: "int", type, v: net ? cx.b.zext(16, v) : v };
}
