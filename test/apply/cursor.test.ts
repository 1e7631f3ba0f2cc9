import { describe, expect, it } from "vitest";
import { BatchReader } from "../../src/apply/batch-reader.ts";
import { Cursor, type Start } from "../../src/apply/cursor.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import { EntryType } from "../../src/raft/types.ts";
import { commands } from "../support/core.ts";
import { encodeBatch, GivenLog, KeptSink, NO_SNAPSHOTS, startAfter } from "./support.ts";

/** A log of an internal entry, commands 2-4 of term 1 and commands 5-6 and 7 of term 2, applied up to `applied`. */
function subscribe(applied: number, start: Start = startAfter(0)) {
  const log = new GivenLog();
  log.applied = applied;
  log.frames.push(
    encodeFrame({ index: 1, term: 1 }, EntryType.noOp, [new Uint8Array(0)]),
    commands(2, 3, 1),
    commands(5, 2, 2),
    commands(7, 1, 2),
  );
  const sink = new KeptSink();
  const cursor = new Cursor(log, new BatchReader(log, encodeBatch), NO_SNAPSHOTS, start, sink);
  return { log, sink, cursor };
}

describe("delivery (PITFALL 46)", () => {
  it("goes through everything applied once and in order, internal entries left out, and nothing beyond", () => {
    const { log, sink, cursor } = subscribe(4);
    cursor.wake();
    expect(sink.got).toEqual(["(0, 4] 2-4"]);
    cursor.wake();
    log.applied = 7;
    cursor.wake();
    expect(sink.got).toEqual(["(0, 4] 2-4", "(4, 7] 5-6 7-7"]);
  });

  it("takes several batches where one doesn't hold everything", () => {
    const { sink, cursor } = subscribe(7);
    cursor.wake();
    expect(sink.got).toEqual(["(0, 4] 2-4", "(4, 7] 5-6 7-7"]);
  });

  it("says how far it is where all entries are internal", () => {
    const { sink, cursor } = subscribe(1);
    cursor.wake();
    expect(sink.got).toEqual(["progress 1"]);
  });

  it("goes on after what the subscriber applied last (PITFALL 47)", () => {
    const { sink, cursor } = subscribe(7, startAfter(4, { afterTerm: 1 }));
    cursor.wake();
    expect(sink.got).toEqual(["(4, 7] 5-6 7-7"]);
  });

  it("waits for a subscriber that takes nothing, and reads nothing for it (PITFALL 49)", () => {
    const { log, sink, cursor } = subscribe(7);
    sink.ready = false;
    cursor.wake();
    cursor.tick();
    expect({ got: sink.got, reads: log.reads }).toEqual({ got: [], reads: 0 });
  });

  it("ends when the subscriber leaves, also with a batch on its way (PITFALL 60)", () => {
    const { log, sink, cursor } = subscribe(7);
    log.isHeld = true;
    cursor.wake();
    cursor.close();
    log.answer();
    cursor.tick();
    expect(sink.got).toEqual([]);
  });

  it("ends with DRAINING when the node does", () => {
    const { log, sink, cursor } = subscribe(7);
    log.draining = true;
    cursor.wake();
    expect(sink.got).toEqual(["DRAINING"]);
  });
});

describe("progress (PITFALL 47)", () => {
  it("never runs ahead of the entries, and is told only by a stream that sent nothing lately", () => {
    const { log, sink, cursor } = subscribe(4);
    cursor.wake();
    cursor.tick();
    log.isHeld = true;
    log.applied = 7;
    cursor.tick();
    expect(sink.got).toEqual(["(0, 4] 2-4", "progress 4"]);
    log.answer();
    cursor.tick();
    cursor.tick();
    expect(sink.got).toEqual(["(0, 4] 2-4", "progress 4", "(4, 7] 5-6 7-7", "progress 7"]);
  });
});

describe("a subscriber from elsewhere", () => {
  it.each([
    { what: "an entry of another term", start: startAfter(4, { afterTerm: 2 }), got: ["LOG_EPOCH_MISMATCH"] },
    {
      what: "another log",
      start: startAfter(4, { logId: new Uint8Array(16).fill(9) }),
      got: ["LOG_EPOCH_MISMATCH"],
    },
    { what: "this log", start: startAfter(4, { logId: new Uint8Array(16).fill(7) }), got: ["(4, 7] 5-6 7-7"] },
  ])("that saw $what is judged (PITFALL 50)", ({ start, got }) => {
    const { sink, cursor } = subscribe(7, start);
    cursor.wake();
    expect(sink.got).toEqual(got);
  });

  it("waits until the node knows its own log's id (PITFALL 50)", () => {
    const { log, sink, cursor } = subscribe(7, startAfter(4, { logId: new Uint8Array(16).fill(7) }));
    log.logId = new Uint8Array(0);
    cursor.wake();
    expect(sink.got).toEqual([]);
    log.logId = new Uint8Array(16).fill(7);
    cursor.wake();
    expect(sink.got).toEqual(["(4, 7] 5-6 7-7"]);
  });

  it("ahead of this node waits, and is judged by the entry that is applied there, not by one before it", () => {
    const { log, sink, cursor } = subscribe(4, startAfter(6, { afterTerm: 3 }));
    cursor.wake();
    expect(sink.got).toEqual([]);
    log.frames.splice(2, 2, commands(5, 2, 3), commands(7, 2, 3));
    log.applied = 8;
    cursor.wake();
    expect(sink.got).toEqual(["(6, 8] 7-8"]);
  });

  it("below the first retained entry is told so (PITFALL 48)", () => {
    const { log, sink, cursor } = subscribe(7, startAfter(3));
    log.first = 5;
    cursor.wake();
    expect(sink.got).toEqual(["COMPACTED"]);
  });
});
