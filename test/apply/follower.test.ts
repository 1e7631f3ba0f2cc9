import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FollowerLog, newReader, Subscriber } from "./follower-log.ts";

function subscribe(log: FollowerLog, afterIndex = 0): Subscriber {
  return new Subscriber(log, newReader(log), afterIndex);
}

const KIB = 1024;

describe("a subscriber's cursor", () => {
  it("delivers an entry once it is committed and on this very node's disk, not before (PITFALLS 46, 55)", () => {
    const log = new FollowerLog();
    const subscriber = subscribe(log);
    log.append(3);
    log.persist();
    subscriber.cursor.tick();
    expect(subscriber.indexes).toEqual([]);
    log.commit();
    expect(subscriber.indexes).toEqual([1, 2, 3]);
    log.append(2);
    log.commit();
    subscriber.cursor.tick();
    expect(subscriber.indexes).toEqual([1, 2, 3]);
    log.persist();
    expect(subscriber.indexes).toEqual([1, 2, 3, 4, 5]);
    // What is on the disk and not committed is at hand for a read that starts before it.
    log.append(2);
    log.persist();
    expect(subscribe(log, 2).indexes).toEqual([3, 4, 5]);
  });

  it("leaves out nothing, repeats nothing and claims nothing that it didn't send, wherever it starts (PITFALLS 46, 47)", () => {
    const step = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.constantFrom("noOp", "full", "free", "hold", "release"));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.nat(20), (steps, afterIndex) => {
        const log = new FollowerLog();
        const subscriber = subscribe(log, afterIndex);
        const commands: number[] = [];
        for (const each of [...steps, "free", "release"] as const) {
          if (each === "full" || each === "free") subscriber.ready = each === "free";
          else if (each === "hold") {
            log.releaseReads();
            log.holdReads();
          } else if (each === "release") log.releaseReads();
          else {
            const { applied } = log.state();
            if (each !== "noOp") commands.push(...Array.from({ length: Number(each) }, (_, i) => applied + 1 + i));
            log.deliver(each === "noOp" ? each : Number(each), 200 * KIB);
          }
          if (subscriber.ready) subscriber.cursor.tick();
        }
        expect(subscriber.indexes).toEqual(commands.filter((index) => index > afterIndex));
        expect(subscriber.position).toBe(Math.max(afterIndex, log.state().applied));
        expect(subscriber).toMatchObject({ violations: [], failure: undefined });
      }),
    );
  });

  it("ahead of this node waits, says only what it knows, and never goes back (PITFALL 47)", () => {
    const ahead = new FollowerLog();
    ahead.deliver(10);
    const first = subscribe(ahead);
    expect(first.position).toBe(10);
    // The next stream is on a node that lags.
    const lagging = new FollowerLog();
    lagging.deliver(4);
    const second = subscribe(lagging, first.position);
    second.cursor.tick();
    lagging.deliver(5);
    second.cursor.tick();
    expect(second).toMatchObject({ indexes: [], progresses: [10, 10] });
    lagging.deliver(3);
    expect(second).toMatchObject({ indexes: [11, 12], violations: [] });
  });

  it("progress says no more than was sent while entries are being read (PITFALL 47)", () => {
    const log = new FollowerLog();
    const subscriber = subscribe(log);
    log.deliver(2);
    log.holdReads();
    log.deliver(3);
    subscriber.cursor.tick();
    subscriber.cursor.tick();
    expect(subscriber.progresses).toEqual([2]);
    log.releaseReads();
    expect(subscriber).toMatchObject({ indexes: [1, 2, 3, 4, 5], position: 5, violations: [] });
  });

  it("that takes nothing has nothing read for it, delays nobody, and later misses nothing (PITFALL 49)", () => {
    const log = new FollowerLog();
    const reader = newReader(log);
    const stalled = new Subscriber(log, reader, 0);
    log.deliver(1);
    stalled.ready = false;
    const { reads } = log;
    for (let i = 0; i < 20; i++) {
      log.deliver(5, 200 * KIB);
      stalled.cursor.tick();
    }
    expect({ reads: log.reads, position: stalled.position }).toEqual({ reads, position: 1 });
    const other = new Subscriber(log, reader, 0);
    expect(other.position).toBe(101);
    stalled.ready = true;
    stalled.cursor.wake();
    expect(stalled).toMatchObject({ indexes: other.indexes, violations: [] });
  });
});
