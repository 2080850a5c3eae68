/**
 * One line of assembly text as tokens. A comment starts with `;` or `//`, or with `#` at the line's start or after
 * white space (`call bpf_map_lookup_elem#1` has none).
 */
import { AsmError } from "../errors/index.ts";

export interface Token {
  readonly kind: "name" | "number" | "punct" | "end";
  readonly text: string;
  /** From 1. */
  readonly col: number;
}

const TOKEN =
  /\s*(?:(%?[A-Za-z_.$][\w.$]*)|(0[xX][0-9a-fA-F]+|\d+)|(<<=|s>>=|>>=|==|!=|<=|>=|\+=|-=|\*=|\/=|%=|&=|\|=|\^=|[-+*/%&|^=<>()[\],:#?]))/y;
const COMMENT = /^\s*#|\s#|;|\/\//;

/** Tokens of the line, without its comment; the last one is always the `end`. */
export function lexLine(line: string, lineNumber: number): Token[] {
  const comment = COMMENT.exec(line);
  const code = (comment ? line.slice(0, comment.index) : line).trimEnd();
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  let at = 0;
  while (at < code.length) {
    TOKEN.lastIndex = at;
    const m = TOKEN.exec(code);
    if (!m) {
      const rest = code.slice(at);
      const skipped = rest.length - rest.trimStart().length;
      throw new AsmError(`unexpected character ${JSON.stringify(rest.trimStart()[0])}`, lineNumber, at + skipped + 1);
    }
    const text = (m[1] ?? m[2] ?? m[3])!;
    const kind = m[1] ? "name" : m[2] ? "number" : "punct";
    tokens.push({
      kind,
      text: kind === "name" ? text.replace(/^%/, "") : text,
      col: TOKEN.lastIndex - text.length + 1,
    });
    at = TOKEN.lastIndex;
  }
  tokens.push({ kind: "end", text: "end of line", col: code.length + 1 });
  return tokens;
}

/** Walks over a line's tokens; every complaint names the place, what was expected and what stands there. */
export class Cursor {
  readonly tokens: readonly Token[];
  readonly line: number;
  at = 0;

  constructor(tokens: readonly Token[], line: number) {
    this.tokens = tokens;
    this.line = line;
  }

  peek(ahead = 0): Token {
    return this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)]!;
  }

  next(): Token {
    const token = this.peek();
    if (token.kind !== "end") this.at++;
    return token;
  }

  /** Takes the token when it has this text. */
  take(text: string): boolean {
    const token = this.peek();
    if (token.kind === "end" || token.text !== text) return false;
    this.at++;
    return true;
  }

  expect(text: string): Token {
    const token = this.next();
    if (token.kind === "end" || token.text !== text) this.fail(`expected ${JSON.stringify(text)}`, token);
    return token;
  }

  atEnd(): boolean {
    return this.peek().kind === "end";
  }

  fail(message: string, token: Token = this.peek()): never {
    const got = token.kind === "end" ? "the line ends" : `got ${JSON.stringify(token.text)}`;
    throw new AsmError(`${message}, ${got}`, this.line, token.col);
  }
}
