import type { Recording } from "./recording.ts";

/** What really ran, was recorded, and can be held against an image of any moment. */
export interface Workload {
  readonly recording: Recording;
  /** How many promises were made. */
  readonly promised: number;
  /**
   * Opens the image in `folder`, of a loss of power when the journal had `position` bytes. Returns what is lost of what was
   * promised by then, or half written; empty when all is well.
   */
  losses(folder: string, position: number): Promise<string[]>;
}
