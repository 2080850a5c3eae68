/** Colours for a person at a terminal, none for a pipe (picocolors itself would colour wherever CI is set). */
import pc from "picocolors";

export const colour = pc.createColors(Boolean(process.stdout.isTTY) && !process.env.NO_COLOR);
