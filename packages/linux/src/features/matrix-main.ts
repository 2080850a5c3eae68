/** Prints the support matrix of the running kernel: see matrix.ts. */
import { matrixText, supportMatrix } from "./matrix.ts";

process.stdout.write(matrixText(supportMatrix()));
