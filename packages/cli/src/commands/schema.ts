/** `ebplane schema`: the JSON Schema of the plane file, for editors. */
import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { print, toJson } from "../output.ts";

export function registerSchema(program: Command): void {
  program
    .command("schema")
    .description("print the JSON Schema of the plane file, which editors complete from")
    .option("-o, --output <file>", "write it to a file")
    .action(async ({ output }: { output?: string }) => {
      const { planeJsonSchema } = await import("@ebplane/functions");
      const text = toJson(planeJsonSchema());
      if (output === undefined) print(text);
      else writeFileSync(output, `${text}\n`);
    });
}
