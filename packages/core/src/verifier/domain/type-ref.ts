/**
 * Structs that a `Kind.BTF_ID` register points to: of the kernel, or of the program's own BTF. One object a type and
 * verification, so identity is equality.
 */
import type { Btf } from "../../btf/index.ts";

export class TypeRef {
  /** Where the struct is described; undefined when the kernel's BTF is not at hand and only the name is known. */
  readonly btf: Btf | undefined;
  readonly id: number;
  readonly name: string;
  /** A type of the program's own, not of the kernel. */
  readonly own: boolean;

  constructor(btf: Btf | undefined, id: number, name: string, own: boolean) {
    this.btf = btf;
    this.id = id;
    this.name = name;
    this.own = own;
  }

  /** As the kernel's log names it, in `ptr_…`. */
  toString(): string {
    return this.name;
  }
}

/** Interns the types of one verification. */
export class TypeTable {
  readonly program: Btf | undefined;
  readonly #kernel: () => Btf | undefined;
  readonly #refs = new Map<string, TypeRef>();

  constructor(kernel: () => Btf | undefined, program: Btf | undefined) {
    this.#kernel = kernel;
    this.program = program;
  }

  /** The kernel's BTF, asked for only when something needs it. */
  get kernel(): Btf | undefined {
    return this.#kernel();
  }

  /** A struct or union of the kernel's BTF, or of the program's own when `own`. */
  byId(id: number, own = false): TypeRef {
    const btf = own ? this.program : this.kernel;
    const type = btf?.type(id);
    return this.#intern(`${own} ${id}`, () => new TypeRef(btf, id, type && "name" in type ? type.name : "", own));
  }

  /** A struct of the kernel by name; without the kernel's BTF, or where that lacks it, only its name is known. */
  byName(name: string): TypeRef {
    const id = this.kernel?.find(name, "struct");
    if (id !== undefined) return this.byId(id);
    return this.#intern(`name ${name}`, () => new TypeRef(undefined, 0, name, false));
  }

  #intern(key: string, make: () => TypeRef): TypeRef {
    let ref = this.#refs.get(key);
    if (!ref) this.#refs.set(key, (ref = make()));
    return ref;
  }
}
