/**
 * The two sides of the browser test: `program.ts` in a headless Chromium and in a plain Node process, both over the
 * built packages (dist). The page finds bare specifiers through an import map; a server on 127.0.0.1 gives it the files.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import ts from "typescript";

const ROOT = resolve(import.meta.dirname, "../..");
const TYPESCRIPT = "/node_modules/typescript/lib/typescript.js";

/** Calls a function of `program.ts` with JSON, there. */
export interface Side {
  readonly call: <T>(name: string, argument?: unknown) => Promise<T>;
  /** As `call`, in a worker of the page. */
  readonly callInWorker?: <T>(name: string, argument?: unknown) => Promise<T>;
  readonly close: () => Promise<void>;
}

/** `program.ts` as JavaScript; core's folders are named by the URL under which that side finds the checkout. */
function programText(root: string): string {
  const source = readFileSync(join(import.meta.dirname, "program.ts"), "utf8");
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
  });
  return outputText.replace(/"\.\.\/\.\.\/packages\/core\/src\/([^"]+)\.ts"/g, `"${root}packages/core/dist/$1.js"`);
}

/** Bare specifiers to URLs: what the packages' `exports` say, for browsers. */
function specifiers(): ReadonlyMap<string, string> {
  const core = Object.keys(JSON.parse(readFileSync(join(ROOT, "packages/core/package.json"), "utf8")).exports);
  if (core.join() !== "./*") throw new Error(`core exports ${core.join()}: the import map must follow`);
  const topics = readdirSync(join(ROOT, "packages/core/dist")).filter((t) =>
    existsSync(join(ROOT, "packages/core/dist", t, "index.js")),
  );
  const imports = {
    ...Object.fromEntries(topics.map((t) => [`@ebplane/core/${t}`, `/packages/core/dist/${t}/index.js`])),
    "@ebplane/compiler": "/packages/compiler/dist/index.js",
    "@ebplane/functions": "/packages/functions/dist/index.js",
    typescript: TYPESCRIPT,
    yaml: "/node_modules/yaml/browser/index.js",
    zod: "/node_modules/zod/index.js",
  };
  return new Map(Object.entries(imports));
}

const URLS = specifiers();

/** The module with URLs in place of bare specifiers: workers have no import maps. */
function withUrls(text: string): string {
  return text.replace(/(\bfrom\s*|\bimport\s*\(?\s*)"([^"./][^"]*)"/g, (all, head: string, name: string) => {
    const url = URLS.get(name);
    return url === undefined ? all : `${head}"${url}"`;
  });
}

/** A page that has the program as a global. */
function page(): string {
  return `<!doctype html><meta charset="utf-8"><title>ebplane</title><link rel="icon" href="data:,">
<script type="module">
import * as program from "/program.js";
globalThis.program = program;
let worker;
globalThis.inWorker = (name, argument) => new Promise((resolve, reject) => {
  worker ??= new Worker("/worker.js", { type: "module" });
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (e) => reject(new Error(e.message || "the worker did not load"));
  worker.postMessage([name, argument]);
});
</script>`;
}

function served(path: string): { type: string; body: string } | undefined {
  if (path === "/") return { type: "text/html", body: page() };
  if (path === "/program.js") return { type: "text/javascript", body: withUrls(programText("/")) };
  if (path === "/worker.js") return { type: "text/javascript", body: WORKER };
  if (!/^\/(packages|node_modules)\/[^?]*\.js$/.test(path) || path !== normalize(path)) return undefined;
  const file = join(ROOT, path);
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, "utf8");
  // A script that leaves everything in a variable of this name; as a module it has no other way out.
  return { type: "text/javascript", body: path === TYPESCRIPT ? `${text}\nexport default ts;\n` : withUrls(text) };
}

/** Its imports are dynamic: a message may come before they are there. */
const WORKER = `const program = import("/program.js");
onmessage = async ({ data: [name, argument] }) => postMessage((await program)[name](argument) ?? null);
`;

/** A page in a headless Chromium with a profile of its own. What goes wrong in the page is an error of `call`. */
export async function browserSide(executablePath: string): Promise<Side> {
  const missing: string[] = [];
  const server = createServer((request, response) => {
    const file = served(request.url ?? "/");
    if (!file) missing.push(request.url ?? "");
    // Isolated from other origins a page has a finer clock and shared memory.
    response.writeHead(file ? 200 : 404, {
      "content-type": file?.type ?? "text/plain",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    });
    response.end(file?.body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const browser = await chromium.launch({ executablePath, chromiumSandbox: false, args: FLAGS }).catch((e) => {
    server.close();
    throw e;
  });
  const close = async (): Promise<void> => {
    await browser.close();
    server.closeAllConnections();
    server.close();
  };
  try {
    const tab = await browser.newPage();
    const errors: string[] = [];
    tab.on("pageerror", (e) => errors.push(e.message));
    tab.on("console", (m) => m.type() === "error" && errors.push(m.text()));
    await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    // A module script that does not load leaves no global: the page's load event comes either way.
    if (!(await tab.evaluate("'program' in globalThis"))) {
      throw new Error(`the page did not load the packages: ${[...errors, ...missing].join("; ")}`);
    }
    const call = (name: string, argument?: unknown) =>
      tab.evaluate(`program[${JSON.stringify(name)}](${JSON.stringify(argument)})`);
    const callInWorker = (name: string, argument?: unknown) =>
      tab.evaluate(`inWorker(${JSON.stringify(name)}, ${JSON.stringify(argument) ?? "null"})`);
    return { call: call as Side["call"], callInWorker: callInWorker as Side["call"], close };
  } catch (e) {
    await close();
    throw e;
  }
}

const FLAGS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const MAIN = `import * as program from "./program.js";
process.on("message", ([name, argument]) => process.send(program[name](argument) ?? null));
process.send("ready");
`;

/** A Node process of its own that finds the packages as an installed application does. */
export async function nodeSide(): Promise<Side> {
  mkdirSync(join(ROOT, "node_modules/.cache"), { recursive: true });
  const dir = mkdtempSync(join(ROOT, "node_modules/.cache/browser-test-"));
  writeFileSync(join(dir, "package.json"), '{"type": "module"}');
  writeFileSync(join(dir, "program.js"), programText(pathToFileURL(`${ROOT}/`).href));
  writeFileSync(join(dir, "main.js"), MAIN);
  const child = fork(join(dir, "main.js"), { execArgv: [], stdio: ["ignore", "inherit", "pipe", "ipc"] });
  let stderr = "";
  child.stderr!.on("data", (text) => void (stderr += text));
  const exited = once(child, "exit");
  const answer = async (): Promise<unknown> => {
    const gone = exited.then(() => Promise.reject(new Error(`the Node process ended: ${stderr}`)));
    return Promise.race([once(child, "message").then(([m]) => m), gone]);
  };
  const close = async (): Promise<void> => {
    if (child.exitCode === null) child.kill();
    await exited;
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await answer();
  } catch (e) {
    await close();
    throw e;
  }
  const call = (name: string, argument?: unknown): Promise<unknown> => {
    child.send([name, argument]);
    return answer();
  };
  return { call: call as Side["call"], close };
}
