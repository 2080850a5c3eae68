import { compile } from "@ebplane/compiler";

const bad = `import { xdp } from "ebplane/bpf";\nexport const a = xdp((ctx) => { return nope; });\n`;
const good = `import { xdp } from "ebplane/bpf";\nexport const a = xdp((ctx) => { return 1; });\n`;
for (const s of [bad, good, good])
  try {
    compile({ entry: "r.bpf.ts", files: new Map([["r.bpf.ts", s]]) });
    console.log("ok");
  } catch (e) {
    console.log((e as Error).message);
  }
