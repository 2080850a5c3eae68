import { execSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import ts from "typescript";

let out;
try {
  out = execSync("node_modules/.bin/biome check packages/compiler --reporter=json --max-diagnostics=300", {
    encoding: "utf8",
    maxBuffer: 1e8,
    stdio: ["ignore", "pipe", "ignore"],
  });
} catch (e) {
  out = e.stdout;
}
const d = JSON.parse(out).diagnostics.filter((x) => x.category === "lint/correctness/noVoidTypeReturn");
const by = new Map();
for (const x of d) {
  const f = x.location.path.file ?? x.location.path;
  const src = readFileSync(f, "utf8");
  const s = x.location.start;
  const lines = src.split("\n");
  let pos = 0;
  for (let i = 0; i < s.line - 1; i++) pos += lines[i].length + 1;
  pos += s.column - 1;
  (by.get(f) ?? by.set(f, []).get(f)).push(pos);
}
for (const [f, list] of by) {
  let src = readFileSync(f, "utf8");
  const sf = ts.createSourceFile(f, src, ts.ScriptTarget.ES2023, true);
  const found = [];
  const visit = (n) => {
    if (ts.isReturnStatement(n) && list.includes(n.getStart(sf))) found.push(n);
    ts.forEachChild(n, visit);
  };
  visit(sf);
  for (const n of found.sort((a, b) => b.getStart(sf) - a.getStart(sf))) {
    const e = n.expression.getText(sf).replace(/^void /, "");
    const block = ts.isBlock(n.parent) || ts.isCaseClause(n.parent) || ts.isDefaultClause(n.parent);
    const last =
      ts.isBlock(n.parent) &&
      n.parent.statements.at(-1) === n &&
      (ts.isMethodDeclaration(n.parent.parent) ||
        ts.isFunctionDeclaration(n.parent.parent) ||
        ts.isArrowFunction(n.parent.parent));
    const inner = ts.isBlock(n.parent) && ts.isSwitchStatement(n.parent.parent ?? n);
    const text = block ? (last ? `${e};` : `${e};\nreturn;`) : `{ ${e};\nreturn; }`;
    src = src.slice(0, n.getStart(sf)) + text + src.slice(n.getEnd());
  }
  writeFileSync(f, src);
}
console.log(d.length);
