import { describe, expect, it } from "vitest";
import { encodeFrame } from "../../src/frame/codec.ts";
import { EntryType, type NodeId, ZERO_ID } from "../../src/raft/types.ts";
import { LogDisk } from "./log-disk.ts";
import { observed, Properties, type View } from "./properties.ts";

const IDS = ["a", "b", "c"];

/** A cluster as Properties sees it: each member's disk holds entries of these terms, and its view is what is told. */
function cluster(terms: Readonly<Record<NodeId, readonly number[]>>) {
  const disks = new Map(
    IDS.map((id) => {
      const entries = (terms[id] ?? []).map((term, i) =>
        encodeFrame({ index: i + 1, term }, EntryType.command, [Buffer.from(`${i}`)]),
      );
      return [id, new LogDisk(ZERO_ID, { currentTerm: 9, votedFor: id }, entries)];
    }),
  );
  const properties = new Properties({ voters: IDS, outgoing: [], learners: [] }, disks);
  const sees = (id: NodeId, view: Partial<View>): void => {
    const disk = disks.get(id);
    if (disk === undefined) throw new Error(`${id} has a disk`);
    const whole = { term: 1, role: "follower", commit: 0, applied: 0, first: 1, last: disk.lastIndex, ...view };
    properties.afterTurn(observed({ id, disk, view: () => whole, termAt: (index) => disk.termAt(index) }));
  };
  return { properties, sees };
}

describe("Properties", () => {
  it("see a second leader of one term (Election Safety)", () => {
    const { sees } = cluster({});
    sees("a", { role: "leader", term: 2 });
    sees("b", { role: "leader", term: 3 });
    expect(() => sees("b", { role: "leader", term: 2 })).toThrow("Election Safety");
  });

  it("see a leader that lacks what an earlier term has committed (Leader Completeness)", () => {
    const { sees } = cluster({ a: [1, 1], b: [1, 1], c: [1] });
    sees("a", { role: "leader", term: 1, commit: 2 });
    expect(() => sees("c", { role: "leader", term: 2 })).toThrow("Leader Completeness");
  });

  it("let a leader of an earlier term take office late, when a later one has committed already", () => {
    const { sees } = cluster({ a: [1, 3], b: [1, 3], c: [1, 1] });
    sees("a", { role: "leader", term: 3, commit: 2 });
    expect(() => sees("c", { role: "leader", term: 2 })).not.toThrow();
  });

  it("see a commit that no quorum has on disk, and one of another term", () => {
    const { sees } = cluster({ a: [1, 2], b: [1, 3], c: [1] });
    expect(() => sees("a", { role: "leader", term: 2, commit: 2 })).toThrow("which no quorum has on disk");
    const other = cluster({ a: [1, 2], b: [1, 2], c: [1, 3] });
    other.sees("a", { role: "leader", term: 2, commit: 2 });
    expect(() => other.sees("c", { term: 3, commit: 2 })).toThrow("of another term");
  });

  it("see a delivery of what is not on the own disk (State Machine Safety)", () => {
    const { sees } = cluster({ a: [1, 1], b: [1, 1], c: [1] });
    sees("a", { role: "leader", term: 1, commit: 2 });
    expect(() => sees("c", { commit: 2, applied: 2 })).toThrow("not on its disk");
  });

  it("see logs that agree after they differed (Log Matching)", () => {
    const { properties } = cluster({});
    const logOf = (terms: readonly number[], id: string) =>
      observed({
        id,
        disk: new LogDisk(ZERO_ID, { currentTerm: 0, votedFor: "" }, []),
        view: () => ({ term: 3, role: "follower", commit: 0, applied: 0, first: 1, last: terms.length }),
        termAt: (index) => terms[index - 1],
      });
    expect(() => properties.logMatching([logOf([1, 2, 3], "a"), logOf([1, 1, 3], "b")])).toThrow("Log Matching");
    expect(() => properties.logMatching([logOf([1, 2, 3], "a"), logOf([1, 2], "b")])).not.toThrow();
  });
});
