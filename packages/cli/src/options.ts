/** Values of options. */
import { UsageError } from "./failure.ts";

/** For options that may be given several times. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** @throws UsageError for anything but decimal digits. */
export function wholeNumber(text: string, option: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new UsageError(`${option}: expected a whole number, got ${text}`);
  return Number(text);
}

/** The same of an option that may be absent. */
export function wholeNumberIfAny(text: string | undefined, option: string): number | undefined {
  return text === undefined ? undefined : wholeNumber(text, option);
}
