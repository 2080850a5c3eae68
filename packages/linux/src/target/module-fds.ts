/** The BTF objects of modules as PROG_LOAD and MAP_CREATE take them: by fd. */
import { fdById } from "../bpf/index.ts";
import { close } from "../sys/index.ts";

/** fds of modules' BTF objects, open as long as the collection: its programs' `request` names them. */
export class ModuleFds {
  readonly #fds = new Map<number, number>();

  /** @throws RangeError when the module was unloaded meanwhile. */
  of(object: number): number {
    const known = this.#fds.get(object);
    if (known !== undefined) return known;
    const fd = fdById("btf", object);
    if (fd === undefined) throw new RangeError(`btf ${object}: its module was unloaded`);
    this.#fds.set(object, fd);
    return fd;
  }

  /** The index that calls have in their offset. */
  indexOf(object: number): number {
    this.of(object);
    return [...this.#fds.keys()].indexOf(object) + 1;
  }

  /** As PROG_LOAD takes them; absent without any. */
  get array(): readonly number[] | undefined {
    return this.#fds.size === 0 ? undefined : [0, ...this.#fds.values()];
  }

  close(): void {
    for (const fd of this.#fds.values()) close(fd);
    this.#fds.clear();
  }
}
