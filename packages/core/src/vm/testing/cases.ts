/**
 * Reads `.case` files: the section syntax of DESIGN. A file holds many cases; `-- name` begins one.
 * Lines that begin with # are comments. For tests alone.
 *
 *     -- name add64 wraps
 *     -- asm       the assembler's text
 *     -- mem       hex of the memory whose address and length are r1 and r2 (or, in an xdp case, of the packet)
 *     -- type      xdp runs it on a packet; plain memory where absent. Other types run on the hook's ctx:
 *     -- attach    attach type without BPF_ (CGROUP_INET4_CONNECT)
 *     -- ctx       fields of the ctx to start with: name=number, words of longer ones with commas between
 *     -- data      hex of what lies between the ctx's packet pointers; `-- visible` how much the program sees of it
 *     -- socket    fields of the ctx's socket; `-- tcp` of its struct bpf_tcp_sock
 *     -- room      bytes of TCP options that may still be written
 *     -- sysctl    name, current value, new value
 *     -- out       the first 8 bytes of the first map's first value afterwards
 *     -- fields    fields of the ctx afterwards
 *     -- result    r0, decimal or hex, possibly negative
 *     -- after     hex of the memory or packet afterwards
 *     -- error     a part of the message with which loading or running fails
 */
export interface EngineCase {
  readonly name: string;
  readonly line: number;
  readonly sections: ReadonlyMap<string, string>;
}

/** @throws SyntaxError for text before the first name and for a section that appears twice. */
export function parseCases(text: string): EngineCase[] {
  const cases: EngineCase[] = [];
  let sections = new Map<string, string>();
  let current: string | undefined;
  text.split("\n").forEach((raw, i) => {
    if (raw.startsWith("#")) return;
    const head = /^-- (\w+) ?(.*)$/.exec(raw);
    if (head) {
      const [, key, rest] = head as unknown as [string, string, string];
      if (key === "name") {
        sections = new Map();
        cases.push({ name: rest, line: i + 1, sections });
        current = undefined;
        return;
      }
      if (sections.has(key)) throw new SyntaxError(`line ${i + 1}: section ${key} appears twice`);
      sections.set(key, rest);
      current = key;
    } else if (current !== undefined) {
      sections.set(current, `${sections.get(current)}\n${raw}`.trim());
    } else if (raw.trim()) throw new SyntaxError(`line ${i + 1}: expected -- name`);
  });
  return cases;
}
