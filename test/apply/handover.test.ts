import { describe, expect, it } from "vitest";
import { BatchReader } from "../../src/apply/batch-reader.ts";
import { Cursor, type Start } from "../../src/apply/cursor.ts";
import { STALL_MS } from "../../src/apply/handover.ts";
import { ApplyHub } from "../../src/apply/hub.ts";
import type { SentSnapshot, SnapshotChunks, SnapshotSource } from "../../src/apply/snapshot-source.ts";
import { Failure } from "../../src/failure.ts";
import { ManualClock } from "../node/support.ts";
import { commands } from "../support/core.ts";
import { encodeBatch, GivenLog, KeptSink, startAfter } from "./support.ts";

/** Snapshots of two chunks each, whose opening and chunks come when the test says so. */
class GivenSnapshots implements SnapshotSource {
  readonly kept: SentSnapshot[] = [];
  reads = 0;
  opened = 0;
  closed = 0;
  #waiting: (() => void)[] = [];

  keep(index: number, format = "f"): void {
    this.kept.push({ last: { index, term: 1 }, format, size: 4, sha256: new Uint8Array(32) });
  }

  find(formats: readonly string[], minIndex: number): SentSnapshot | undefined {
    const fits = ({ last, format }: SentSnapshot): boolean =>
      last.index >= minIndex && (formats.length === 0 || formats.includes(format));
    return this.kept.findLast(fits);
  }

  open(snapshot: SentSnapshot, done: (result: SnapshotChunks | Error) => void): void {
    this.#waiting.push(() => {
      if (!this.kept.includes(snapshot)) return done(new Failure("NO_SNAPSHOT", "it is gone"));
      this.opened++;
      const chunks = ["one", "two"];
      const read: SnapshotChunks["read"] = (then) => {
        this.reads++;
        this.#waiting.push(() => then(Buffer.from(chunks.shift() ?? "")));
      };
      done({ read, close: () => this.closed++ });
    });
  }

  /** What was asked for comes, once, or until nothing more is asked for. */
  answer(times = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < times && this.#waiting.length > 0; i++) this.#waiting.shift()?.();
  }
}

/** Of a log that begins after 10 and is applied to 14, with a snapshot at 12. */
function subscribe(fields: Partial<Start> = {}) {
  const log = new GivenLog();
  const snapshots = new GivenSnapshots();
  snapshots.keep(12);
  Object.assign(log, { first: 11, applied: 14 });
  log.frames.push(commands(11, 2, 1), commands(13, 2, 1));
  const sink = new KeptSink();
  const start = startAfter(3, { formats: ["f"], ...fields });
  const cursor = new Cursor(log, new BatchReader(log, encodeBatch), snapshots, start, sink);
  return { log, snapshots, sink, cursor };
}

const WHOLE = ["snapshot 12 f", "chunk one", "chunk two"];

describe("a subscriber whose next entry is gone (PITFALL 48)", () => {
  it("is sent the newest snapshot in a format that it names, whole, and then what follows it (PITFALL 46)", () => {
    const { log, snapshots, sink, cursor } = subscribe();
    snapshots.keep(13, "other");
    cursor.wake();
    snapshots.answer();
    expect(sink.got).toEqual([...WHOLE, "(12, 14] 13-14"]);
    log.applied = 16;
    log.frames.push(commands(15, 2, 1));
    cursor.wake();
    expect(sink.got.at(-1)).toBe("(14, 16] 15-16");
    expect([snapshots.opened, snapshots.closed]).toEqual([1, 1]);
  });

  it("is sent no snapshot while the next one is at hand", () => {
    const { snapshots, sink, cursor } = subscribe({ afterIndex: 10 });
    cursor.wake();
    snapshots.answer();
    expect(sink.got).toEqual(["(10, 14] 11-12 13-14"]);
  });

  it.each([
    [[], "no format"],
    [["x", "y"], "only x, y"],
  ])("is told the first index and what there is where it restores %j", (formats, what) => {
    const { sink, cursor } = subscribe({ formats });
    const failures: Error[] = [];
    sink.end = (failure) => void failures.push(failure);
    cursor.wake();
    expect(failures).toMatchObject([
      {
        reason: "COMPACTED",
        message: expect.stringContaining(what),
        metadata: { first_index: "11", after_index: "3", snapshot_index: "12", snapshot_format: "f" },
      },
    ]);
  });

  it("is told so where a snapshot doesn't reach to the log's first entry, as it would leave a gap (PITFALL 46)", () => {
    const { log, sink, cursor } = subscribe();
    log.first = 14;
    cursor.wake();
    expect(sink.got).toEqual(["COMPACTED"]);
  });

  it("finds that out also where the log is cut off while a batch is read", () => {
    const { log, snapshots, sink, cursor } = subscribe({ afterIndex: 10 });
    log.readLog = (_first, _last, _maxBytes, done) => {
      log.first = 13;
      done(new Failure("COMPACTED", "the log starts at index 13"));
    };
    cursor.wake();
    expect(sink.got).toEqual(["snapshot 12 f"]);
    snapshots.answer(3);
    expect(sink.got).toEqual(WHOLE);
  });

  it("waits while its node's log is being replaced: the snapshot isn't applied yet (PITFALL 55)", () => {
    const { log, snapshots, sink, cursor } = subscribe();
    Object.assign(log, { first: 21, applied: 14 });
    cursor.wake();
    expect(sink.got).toEqual([]);
    snapshots.keep(20);
    log.applied = 20;
    cursor.wake();
    snapshots.answer();
    expect(sink.got).toEqual(["snapshot 20 f", "chunk one", "chunk two"]);
  });

  it("is sent another where its node's log was replaced again meanwhile (PITFALL 47)", () => {
    const { log, snapshots, sink, cursor } = subscribe();
    cursor.wake();
    snapshots.answer(2);
    snapshots.keep(20);
    Object.assign(log, { first: 21, applied: 20 });
    snapshots.answer();
    expect(sink.got).toEqual([...WHOLE, "snapshot 20 f", "chunk one", "chunk two"]);
    expect([snapshots.opened, snapshots.closed]).toEqual([2, 2]);
  });

  it("hears why there is none when the snapshot is gone, and nothing after it", () => {
    const { snapshots, sink, cursor } = subscribe();
    cursor.wake();
    snapshots.kept.pop();
    snapshots.answer();
    expect(sink.got).toEqual(["snapshot 12 f", "NO_SNAPSHOT"]);
  });
});

describe("in the middle of a snapshot", () => {
  it("a subscriber is told no progress, and no entries (PITFALLS 46, 47)", () => {
    const { log, snapshots, sink, cursor } = subscribe();
    cursor.wake();
    snapshots.answer(2);
    log.applied = 16;
    log.snapshots.isWanted = true;
    for (let i = 0; i < 3; i++) cursor.tick();
    expect(sink.got).toEqual(WHOLE.slice(0, 2));
  });

  it("a stalled one costs no more than a chunk, however often it is woken (PITFALL 49)", () => {
    const { snapshots, sink, cursor } = subscribe();
    cursor.wake();
    snapshots.answer(1);
    sink.ready = false;
    snapshots.answer();
    for (let i = 0; i < 5; i++) {
      cursor.wake();
      cursor.tick();
    }
    snapshots.answer();
    expect({ got: sink.got, reads: snapshots.reads }).toEqual({ got: WHOLE.slice(0, 2), reads: 1 });
    sink.ready = true;
    cursor.wake();
    snapshots.answer();
    expect(sink.got).toEqual([...WHOLE, "(12, 14] 13-14"]);
  });

  it.each([1, 2, 3])(
    "who leaves after %i steps lets go of it, once, and is sent nothing more (PITFALL 60)",
    (steps) => {
      const { snapshots, sink, cursor } = subscribe();
      cursor.wake();
      snapshots.answer(steps);
      const before = [...sink.got];
      for (let i = 0; i < 2; i++) cursor.close();
      snapshots.answer();
      expect({ got: sink.got, closed: snapshots.closed }).toEqual({ got: before, closed: snapshots.opened });
    },
  );

  it("who leaves before it was opened doesn't hold on to it either", () => {
    const { snapshots, sink, cursor } = subscribe();
    cursor.wake();
    cursor.close();
    snapshots.answer();
    expect({ got: sink.got, opened: snapshots.opened, closed: snapshots.closed }).toEqual({
      got: ["snapshot 12 f"],
      opened: 1,
      closed: 1,
    });
  });
});

describe("a subscriber that takes nothing of a snapshot", () => {
  /** On a hub, whose subscribers are looked at every second. */
  function onHub() {
    const { log, snapshots, sink } = subscribe();
    const clock = new ManualClock();
    const hub = new ApplyHub({
      ...{ log, encode: encodeBatch, snapshots, clock },
      ...{ maxSubscribers: 1, progressIntervalMs: 1_000 },
    });
    const cursor = hub.add(startAfter(3, { formats: ["f"] }), sink);
    sink.ready = false;
    const seconds = (count: number): void => {
      for (let i = 0; i < count; i++) clock.jump(1_000);
    };
    return { snapshots, sink, cursor, hub, seconds };
  }

  it("lets go of it after a minute, with OVERLOADED: else the log could not be cut off for ever (PITFALL 49)", () => {
    const { snapshots, sink, cursor, seconds } = onHub();
    sink.ready = true;
    cursor.wake();
    sink.ready = false;
    snapshots.answer();
    seconds(STALL_MS / 1_000);
    expect({ got: sink.got, closed: snapshots.closed }).toEqual({ got: WHOLE.slice(0, 1), closed: 0 });
    seconds(1);
    expect({ got: sink.got, closed: snapshots.closed }).toEqual({
      got: [...WHOLE.slice(0, 1), "OVERLOADED"],
      closed: 1,
    });
  });

  it("but a chunk now and then may take as long as it likes", () => {
    const { snapshots, sink, cursor, seconds } = onHub();
    for (let chunk = 0; chunk < 4; chunk++) {
      sink.ready = true;
      cursor.wake();
      sink.ready = false;
      snapshots.answer();
      seconds(STALL_MS / 1_000 - 1);
    }
    expect(sink.got).toEqual(WHOLE);
    seconds(STALL_MS);
    expect(sink.got).toEqual(WHOLE);
  });
});
