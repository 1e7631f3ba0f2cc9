import type { State } from "./state.ts";

/** Digests are compared at each command whose index is a multiple of this. */
const EVERY = 5_000;

/** More of them help nobody. */
const MAX_VIOLATIONS = 100;

/** The digests of all who apply the log, compared while they do. */
export class Ledger {
  readonly violations: string[] = [];
  /** How many digests were compared with an earlier one. */
  compared = 0;
  readonly #first = new Map<number, { readonly name: string; readonly digest: string }>();

  note(name: string, state: State): void {
    if (state.position % EVERY !== 0) return;
    const { position, digest } = state;
    const first = this.#first.get(position);
    if (first === undefined) {
      this.#first.set(position, { name, digest });
      return;
    }
    this.compared++;
    if (first.digest !== digest) this.violation(name, `its digest at ${position} differs from that of ${first.name}`);
  }

  violation(name: string, what: string): void {
    if (this.violations.length < MAX_VIOLATIONS) this.violations.push(`${name}: ${what}`);
  }
}
