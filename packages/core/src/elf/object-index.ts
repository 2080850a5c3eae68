/** What the parts of the reader share about one object. */
import type { Btf, BtfExt } from "../btf/index.ts";
import type { ExternSpec } from "../object/index.ts";
import type { ElfFile } from "./container.ts";

/** What a symbol stands for, by section index and byte offset. */
export interface ObjectIndex {
  readonly file: ElfFile;
  readonly btf: Btf | undefined;
  readonly ext: BtfExt | undefined;
  /** True for a section of map definitions. */
  readonly holdsMaps: (section: number) => boolean;
  /** Name of the map at an offset of such a section. */
  readonly mapAt: (section: number, offset: number) => string | undefined;
  /** Name of the array map that holds a data section. */
  readonly dataMap: (section: number) => string | undefined;
  readonly externs: ReadonlyMap<string, ExternSpec>;
}
