/**
 * BTF for kernels that do not know all of its kinds: what a kernel refuses is replaced, ids unchanged, by something of
 * the same size that it takes. What the replaced kinds said to the verifier is lost with them, nothing else.
 * Source: libbpf.c `bpf_object__sanitize_btf`, which replaces the same kinds.
 */
import { BtfBuilder, type BtfMember, type BtfType } from "@ebplane/core/btf";
import { btfLoad } from "../bpf/index.ts";
import { close } from "../sys/index.ts";

/** What kernels learned to read: the smallest types that show it, and since when. */
const ABILITIES = {
  /** 5.13 */
  float: (b: BtfBuilder) => b.add({ kind: "float", name: "float", size: 4 }),
  /** 5.16 */
  declTag: (b: BtfBuilder) =>
    b.add({ kind: "declTag", name: "tag", type: b.typedef("t", int(b)), component: -1, attribute: false }),
  /** 5.17 */
  typeTag: (b: BtfBuilder) => b.ptr(b.add({ kind: "typeTag", name: "tag", type: int(b), attribute: false })),
  /** 6.0; then an enum's numbers may have a sign, too. */
  enum64: (b: BtfBuilder) =>
    b.add({ kind: "enum64", name: "e", size: 8, signed: false, values: [{ name: "A", value: 0n }] }),
  /** 6.9: sections that begin with a question mark. */
  optional: (b: BtfBuilder) => {
    const type = b.add({ kind: "var", name: "v", type: int(b), linkage: "static" });
    b.add({ kind: "datasec", name: "?.data", size: 4, vars: [{ type, offset: 0, size: 4 }] });
  },
  /** 6.15 */
  attribute: (b: BtfBuilder) => b.ptr(b.add({ kind: "typeTag", name: "tag", type: int(b), attribute: true })),
} as const;

const int = (b: BtfBuilder): number => b.int("int", 4, { encoding: "signed" });

type Ability = keyof typeof ABILITIES;

const answers = new Map<Ability, boolean>();

function can(ability: Ability): boolean {
  let answer = answers.get(ability);
  if (answer === undefined) {
    const builder = new BtfBuilder();
    ABILITIES[ability](builder);
    const { fd } = btfLoad(builder.encode().bytes);
    answer = fd >= 0;
    if (answer) close(fd);
    answers.set(ability, answer);
  }
  return answer;
}

/** The types as this kernel can read them. `types[0]` has id 1; `int` is the id of a plain int among them. */
export function readableTypes(types: readonly BtfType[], int: number): BtfType[] {
  return types.map((type): BtfType => {
    switch (type.kind) {
      case "float":
        return can("float") ? type : { kind: "struct", name: type.name, size: type.size, members: [] };
      case "declTag":
        // Nothing refers to a tag.
        return can(type.attribute ? "attribute" : "declTag")
          ? type
          : { kind: "typedef", name: `tag_${type.type}`, type: int };
      case "typeTag":
        return can(type.attribute ? "attribute" : "typeTag") ? type : { kind: "const", name: "", type: type.type };
      case "enum":
        // That an enum's numbers have a sign is told since Linux 6.0.
        return can("enum64") ? type : { ...type, signed: false };
      case "enum64":
        return can("enum64")
          ? type
          : { kind: "union", name: type.name, size: type.size, members: type.values.map(member) };
      case "datasec":
        return type.name.startsWith("?") && !can("optional") ? { ...type, name: `_${type.name.slice(1)}` } : type;
      default:
        return type;
    }
  });

  function member({ name }: { readonly name: string }): BtfMember {
    return { name, type: int, bitOffset: 0, bitSize: 0 };
  }
}
