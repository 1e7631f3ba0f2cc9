import type { Case } from "./cases.ts";
import type { Result } from "./sender.ts";

/** What was sent, and what came back, by RPC. */
export class Tally {
  messages = 0;
  cases = 0;
  readonly #rows = new Map<string, { messages: number; cases: number; readonly outcomes: Map<string, number> }>();

  add(one: Case, { outcome }: Result): void {
    const name =
      one.kind === "raw" ? `${one.listener}: ${one.name}` : nameOf(one.rpc.listener, one.rpc.path, one.accepted);
    const row = this.#rows.get(name) ?? { messages: 0, cases: 0, outcomes: new Map<string, number>() };
    this.#rows.set(name, row);
    // A call without a message, and a connection that is none, count as one: something came.
    const messages = one.kind === "raw" ? 1 : Math.max(1, one.messages.length);
    row.messages += messages;
    row.cases += 1;
    row.outcomes.set(outcome, (row.outcomes.get(outcome) ?? 0) + 1);
    this.messages += messages;
    this.cases += 1;
  }

  write(write: (line: string) => void): void {
    for (const [name, { messages, cases, outcomes }] of [...this.#rows].sort()) {
      const all = [...outcomes].sort(([, a], [, b]) => b - a).map(([outcome, count]) => `${outcome}: ${count}`);
      write(`  ${name}: ${messages} messages, ${cases} cases (${all.join(", ")})`);
    }
  }
}

function nameOf(listener: string, path: string, accepted: boolean): string {
  return `${listener} ${path.slice(path.lastIndexOf(".", path.lastIndexOf("/")) + 1)}${accepted ? ", as a member" : ""}`;
}
