/** `ebplane schema`: the JSON Schema of the plane file, for editors. */
import { writeFileSync } from "node:fs";
import { planeJsonSchema } from "@ebplane/functions";
import type { Command } from "commander";
import { print, toJson } from "../output.ts";

export function registerSchema(program: Command): void {
  program
    .command("schema")
    .description("print the JSON Schema of the plane file, which editors complete from")
    .option("-o, --output <file>", "write it to a file")
    .action(({ output }: { output?: string }) => {
      const text = toJson(planeJsonSchema());
      if (output === undefined) print(text);
      else writeFileSync(output, `${text}\n`);
    });
}
