/** What stands in the way of an attachment, with its remedy. */
/** `error`: attaching would fail or no packet would come through. `warning`: some packets, or some cases, would suffer. */
export interface Finding {
  readonly severity: "error" | "warning";
  /** Where: the hook's text, a device. */
  readonly place: string;
  readonly reason: string;
  readonly remedy: string;
}

/** One line a finding, as the command prints it. */
export function findingText({ severity, place, reason, remedy }: Finding): string {
  return `${severity}: ${place}: ${reason}; ${remedy}`;
}
