import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { decodeSessions, SessionsEncoder } from "../../src/session/checkpoint.ts";
import { type Found, SESSION_LIMITS, SessionTable } from "../../src/session/session-table.ts";
import { encodeSessions } from "./support.ts";

const LIMITS = { window: 4, entries: 20, clients: 3 };

interface Step {
  readonly clientId: string;
  readonly sequence: number;
  readonly skip: number;
  /** Entries that are in the log and not in the table yet, after this one. */
  readonly lag: number;
}

const anySteps = fc.array(
  fc.record({
    clientId: fc.constantFrom("a", "b", "c", "d", "ü"),
    sequence: fc.integer({ min: 1, max: 12 }),
    skip: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 25 })),
    lag: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 4 })),
  }),
  { maxLength: 60 },
);

const termAt = (index: number): number => 1 + Math.floor(index / 10);

/**
 * As a leader does it, from an index on: what the table knows, or no longer knows, is not appended, nor what the table
 * has yet to take in. Returns the last index.
 */
function append(
  table: SessionTable,
  steps: readonly Step[],
  from = 0,
  each: (index: number, step: Step) => void = () => {},
): number {
  const ahead: (readonly [Step, number])[] = [];
  const takeIn = (lag: number): void => {
    for (const [step, index] of ahead.splice(0, Math.max(0, ahead.length - lag))) {
      table.add(step, { index, term: termAt(index) });
      each(index, step);
    }
  };
  let index = from;
  for (const step of steps) {
    index += step.skip;
    const { clientId, sequence } = step;
    const isAhead = ahead.some(([other]) => other.clientId === clientId && other.sequence === sequence);
    if (!isAhead && table.find(step).kind === "new") ahead.push([step, index]);
    takeIn(step.lag);
  }
  takeIn(0);
  return index;
}

const at = (index: number): Found => ({ kind: "known", id: { index, term: 1 } });

/** A table in which each client's sequences were added from index 1 on. */
function tableOf(limits: typeof LIMITS, ...entries: readonly (readonly [string, number])[]): SessionTable {
  const table = new SessionTable(limits);
  for (const [i, [clientId, sequence]] of entries.entries())
    table.add({ clientId, sequence }, { index: i + 1, term: 1 });
  return table;
}

describe("the session table", () => {
  it("knows where a proposal stands, whatever the order of its client's sequences", () => {
    const table = tableOf(LIMITS, ["a", 3], ["b", 1], ["a", 1], ["a", 2]);
    expect([1, 2, 3, 4].map((sequence) => table.find({ clientId: "a", sequence }))).toEqual([
      at(3),
      at(4),
      at(1),
      { kind: "new" },
    ]);
    expect(table.find({ clientId: "b", sequence: 2 })).toEqual({ kind: "new" });
    expect(table.find({ clientId: "c", sequence: 1 })).toEqual({ kind: "new" });
  });

  it("tells sequences apart in a window below the highest, and refuses what lies before it", () => {
    const table = tableOf(LIMITS, ["a", 1], ["a", 6]);
    expect(table.find({ clientId: "a", sequence: 1 })).toEqual({ kind: "tooOld", above: 2 });
    expect(table.find({ clientId: "a", sequence: 2 })).toEqual({ kind: "tooOld", above: 2 });
    expect(table.find({ clientId: "a", sequence: 3 })).toEqual({ kind: "new" });
    expect(table.find({ clientId: "a", sequence: 6 })).toEqual(at(2));
  });

  it("refuses what it has forgotten with age, and does not take it for new", () => {
    const table = tableOf(LIMITS, ["a", 1], ["a", 2]);
    table.add({ clientId: "b", sequence: 1 }, { index: 21, term: 1 });
    expect(table.find({ clientId: "a", sequence: 1 })).toEqual(at(1));
    table.add({ clientId: "b", sequence: 2 }, { index: 22, term: 1 });
    expect(table.find({ clientId: "a", sequence: 2 })).toEqual({ kind: "tooOld", above: 2 });
    expect(table.find({ clientId: "a", sequence: 3 })).toEqual({ kind: "new" });
  });

  it("remembers a client's entry for so many further indexes, and no longer", () => {
    const table = tableOf(LIMITS, ["a", 1]);
    table.add({ clientId: "a", sequence: 2 }, { index: 20, term: 1 });
    expect(table.find({ clientId: "a", sequence: 1 })).toEqual(at(1));
    table.add({ clientId: "a", sequence: 3 }, { index: 21, term: 1 });
    expect(table.find({ clientId: "a", sequence: 1 })).toEqual({ kind: "tooOld", above: 1 });
  });

  it("knows the place of each of a long row of proposals, in and out of order", () => {
    const table = new SessionTable({ window: 10, entries: 10_000, clients: 3 });
    for (let index = 1; index <= 2_000; index++) {
      // Two and two in each other's place.
      const sequence = index % 2 === 0 ? index - 1 : index + 1;
      table.add({ clientId: "a", sequence }, { index, term: termAt(index) });
    }
    for (let index = 1_992; index <= 2_000; index++) {
      const sequence = index % 2 === 0 ? index - 1 : index + 1;
      const id = { index, term: termAt(index) };
      expect(table.find({ clientId: "a", sequence })).toEqual({ kind: "known", id });
    }
  });

  it("forgets the client whose latest entry is the oldest when there are too many", () => {
    const table = tableOf(LIMITS, ["a", 1], ["b", 1], ["c", 1], ["a", 2], ["d", 1]);
    expect(table.find({ clientId: "b", sequence: 1 })).toEqual({ kind: "new" });
    expect(table.find({ clientId: "a", sequence: 1 })).toEqual(at(1));
  });

  it("takes a proposal that is in the log twice for a broken rule", () => {
    const table = tableOf(LIMITS, ["a", 1]);
    expect(() => table.add({ clientId: "a", sequence: 1 }, { index: 2, term: 1 })).toThrow(InvariantError);
  });

  it("never takes an entry for new before its client is forgotten", () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        const table = new SessionTable({ ...LIMITS, clients: 5 });
        const added: (Step & { readonly index: number })[] = [];
        append(table, steps, 0, (index, step) => {
          added.push({ ...step, index });
          for (const entry of added) {
            const found = table.find(entry);
            if (found.kind === "known") expect(found.id).toEqual({ index: entry.index, term: termAt(entry.index) });
            expect(found.kind).not.toBe("new");
          }
        });
      }),
    );
  });

  it("remembers every entry for as long as it may, and no more than twice as many, whatever its clients do", () => {
    const limits = { window: 12, entries: 6, clients: 5 };
    fc.assert(
      fc.property(anySteps, (steps) => {
        const table = new SessionTable(limits);
        const added: { readonly step: Step; readonly index: number }[] = [];
        append(table, steps, 0, (index, step) => {
          added.push({ step, index });
          for (const each of added) {
            // What its own client gave up is no longer promised: a higher sequence that has grown old.
            const isOutlived = added.some(
              (other) =>
                other.step.clientId === each.step.clientId &&
                other.step.sequence > each.step.sequence &&
                other.index <= index - limits.entries,
            );
            const { kind } = table.find(each.step);
            expect(kind).not.toBe("new");
            if (each.index > index - limits.entries && !isOutlived) expect(kind).toBe("known");
          }
          const held = [...table.sessions()].reduce((sum, { window }) => sum + window.size, 0);
          expect(held).toBeLessThanOrEqual(2 * limits.entries);
        });
      }),
    );
  });

  it("lets a client that keeps old sequences young by lower ones forget its own, and nobody else's", () => {
    const table = new SessionTable({ window: 100, entries: 10, clients: 5 });
    const add = (clientId: string, sequence: number, index: number): void =>
      table.add({ clientId, sequence }, { index, term: 1 });
    for (let i = 1; i <= 5; i++) add("hoarder", 20 - i, i);
    add("silent", 1, 6);
    for (let i = 7; i <= 15; i++) add("hoarder", 20 - i, i);
    expect(table.find({ clientId: "silent", sequence: 1 })).toEqual(at(6));
    // The highest, 19, has grown old at index 11.
    for (let sequence = 5; sequence <= 19; sequence++) {
      expect(table.find({ clientId: "hoarder", sequence })).toEqual({ kind: "tooOld", above: 19 });
    }
    expect(table.find({ clientId: "hoarder", sequence: 20 })).toEqual({ kind: "new" });
  });

  it("knows which entry of a client is the oldest after others were forgotten", () => {
    const limits = { window: 100, entries: 10, clients: 5 };
    const table = tableOf(limits, ["a", 5], ["a", 9], ["a", 8], ["a", 7]);
    table.add({ clientId: "a", sequence: 20 }, { index: 11, term: 1 });
    expect(table.find({ clientId: "a", sequence: 5 })).toEqual({ kind: "tooOld", above: 5 });
    expect(table.find({ clientId: "a", sequence: 7 })).toEqual(at(4));
    table.add({ clientId: "a", sequence: 21 }, { index: 12, term: 1 });
    expect(table.find({ clientId: "a", sequence: 7 })).toEqual({ kind: "tooOld", above: 9 });
  });

  it("knows after a checkpoint as well which entry of a client is the oldest", () => {
    const limits = { window: 100, entries: 10, clients: 5 };
    const table = decodeSessions(encodeSessions(tableOf(limits, ["a", 3], ["a", 2], ["a", 1])), limits);
    table.add({ clientId: "a", sequence: 4 }, { index: 11, term: 1 });
    expect(table.find({ clientId: "a", sequence: 1 })).toEqual({ kind: "tooOld", above: 3 });
  });

  it("puts few clients to rest for one entry, however many there are, and all in the end", () => {
    const table = new SessionTable({ window: 4, entries: 1_000, clients: 100 });
    for (let index = 1; index <= 50; index++) table.add({ clientId: `${index}`, sequence: 1 }, { index, term: 1 });
    const held = (): number => [...table.sessions()].filter(({ window }) => window.size > 0).length;
    const counts = Array.from({ length: 40 }, (_, i) => {
      table.add({ clientId: "a", sequence: i + 1 }, { index: 10_000 + i, term: 1 });
      return held();
    });
    expect(counts.slice(0, 3)).toEqual([49, 47, 45]);
    expect(counts.at(-1)).toBe(1);
    expect(table.find({ clientId: "50", sequence: 1 })).toEqual({ kind: "tooOld", above: 1 });
  });

  it("comes from its checkpoint as it was, in all that follows (PITFALL 44)", () => {
    const anyLimits = fc.constantFrom(LIMITS, { window: 12, entries: 6, clients: 4 });
    fc.assert(
      fc.property(anyLimits, anySteps, fc.nat(60), (limits, steps, cut) => {
        const table = new SessionTable(limits);
        let index = append(table, steps.slice(0, cut));
        const restored = decodeSessions(encodeSessions(table), limits);
        for (const step of steps.slice(cut)) {
          append(restored, [step], index);
          index = append(table, [step], index);
          expect(Buffer.compare(encodeSessions(restored), encodeSessions(table))).toBe(0);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("holds no more than its limits say, however many clients and proposals there are", () => {
    const table = new SessionTable({ window: 8, entries: 200, clients: 50 });
    for (let index = 1; index <= 20_000; index++) {
      const clientId = `client-${index % 7 === 0 ? index : index % 11}`;
      // Every seventh is a client of its own, so of a window of 8 sequences 7 are there.
      table.add({ clientId, sequence: Math.ceil(index / 11) }, { index, term: 1 });
    }
    expect(table.size).toBe(50);
    const sizes = [...table.sessions()].map(({ window }) => window.size);
    expect(Math.max(...sizes)).toBe(7);
    // Of whoever had no entry among the last 200 there is nothing but numbers.
    for (const { lastIndex, window } of table.sessions()) expect(window.size > 0).toBe(lastIndex > 20_000 - 200);
  });
});

describe("a checkpoint", () => {
  it("of as many clients and entries as there may be holds them all", () => {
    const table = new SessionTable();
    const { entries, clients, window } = SESSION_LIMITS;
    for (let index = 1; index <= entries; index++) {
      const clientId = `a client with a name of usual length ${index % clients}`;
      table.add({ clientId, sequence: Math.ceil(index / clients) }, { index, term: 7 });
    }
    const bytes = encodeSessions(table);
    const restored = decodeSessions(bytes, SESSION_LIMITS);
    expect(restored.size).toBe(clients);
    expect(entries / clients).toBeLessThan(window);
    expect(Buffer.compare(encodeSessions(restored), bytes)).toBe(0);
  });

  it("that is made bit by bit is that of the table when it was begun, whatever was added meanwhile (PITFALL 44)", () => {
    const anyLimits = fc.constantFrom(LIMITS, { window: 12, entries: 6, clients: 4 });
    fc.assert(
      fc.property(anyLimits, anySteps, fc.nat(30), fc.integer({ min: 1, max: 8 }), (limits, steps, cut, portion) => {
        const table = new SessionTable(limits);
        let index = append(table, steps.slice(0, cut));
        const atStart = encodeSessions(table);
        const encoder = new SessionsEncoder(table);
        let bytes = encoder.write(portion);
        for (const step of steps.slice(cut)) {
          index = append(table, [step], index);
          bytes ??= encoder.write(portion);
        }
        while (bytes === undefined) bytes = encoder.write(portion);
        expect(Buffer.compare(encodeSessions(decodeSessions(bytes, limits)), atStart)).toBe(0);
      }),
      { numRuns: 1_000 },
    );
  });

  it("of bytes that are cut off, or too many, is refused", () => {
    const bytes = encodeSessions(tableOf(LIMITS, ["a", 1], ["b", 300]));
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeSessions(bytes.subarray(0, length))).toThrow(RangeError);
    }
    expect(() => decodeSessions(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(RangeError);
  });
});
