/** What an editor says of packet programs: TypeScript itself, with the declarations of `ebplane/bpf`. */
import { fileURLToPath } from "node:url";
import ts from "typescript";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Every complaint about the files, by name, with the line that it is about. */
export function editorProblems(files: ReadonlyMap<string, string>): string[] {
  const lib = path("../lib/");
  const sources = new Map([...files].map(([name, text]) => [path(`../editor-files/${name}`), text]));
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    types: [],
    lib: ["lib.es2022.d.ts"],
    paths: { "ebplane/bpf": [`${lib}bpf.d.ts`] },
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => sources.has(name) || fileExists(name);
  host.directoryExists = () => true;
  host.readFile = (name) => sources.get(name) ?? readFile(name);
  host.getSourceFile = (name, language, ...rest) => {
    const own = sources.get(name);
    return own === undefined ? getSourceFile(name, language, ...rest) : ts.createSourceFile(name, own, language);
  };
  const program = ts.createProgram([...sources.keys()], options, host);
  return ts.getPreEmitDiagnostics(program).map((d) => {
    const place = d.file ? ts.getLineAndCharacterOfPosition(d.file, d.start ?? 0) : undefined;
    const line = d.file?.text.split("\n")[place?.line ?? 0] ?? "";
    return `${ts.flattenDiagnosticMessageText(d.messageText, "\n")}: ${line.trim()}`;
  });
}
