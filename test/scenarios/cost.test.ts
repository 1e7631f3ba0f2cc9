import { expect } from "vitest";
import { type Lab, names, scenario } from "./lab.ts";

const ENTRIES = 1_000;

/** What a thousand entries cost three nodes together. */
interface Cost {
  readonly turns: number;
  readonly messages: number;
  /** Transactions, each with one sync. */
  readonly diskTurns: number;
  /** Runs of entries that were encoded together, once, and written by all three. */
  readonly frames: number;
}

/** Proposes a thousand commands, so many at a time, each as soon as an earlier one is committed. */
function closedLoop(lab: Lab, inFlight: number): Cost {
  lab.one("before", 3);
  lab.settle();
  const leader = lab.oneLeader();
  const before = counts(lab);
  const waiting = names("command", ENTRIES);
  let committed = 0;
  const next = (): void => {
    const command = waiting.shift();
    if (command === undefined) return;
    leader.process?.run(() =>
      leader.process?.node.propose({
        commands: [Buffer.from(command)],
        deadlineMs: undefined,
        ordered: false,
        done: (result) => {
          expect(result.kind).toBe("committed");
          committed++;
          next();
        },
      }),
    );
  };
  for (let i = 0; i < inFlight; i++) next();
  lab.runUntil(() => committed === ENTRIES, 60_000);
  expect(committed).toBe(ENTRIES);
  const after = counts(lab);
  return {
    turns: after.turns - before.turns,
    messages: after.messages - before.messages,
    diskTurns: after.diskTurns - before.diskTurns,
    frames: after.frames - before.frames,
  };
}

function counts({ counters }: Lab) {
  return {
    turns: counters.get("turns"),
    messages: counters.get("requests sent") + counters.get("answers sent"),
    diskTurns: counters.get("disk turns"),
    frames: counters.get("frames written"),
  };
}

scenario(
  "a thousand entries one by one cost a sync on each node, and a message to each follower and back",
  3,
  (lab) => {
    const { turns, messages, diskTurns, frames } = closedLoop(lab, 1);
    expect(frames).toBe(3 * ENTRIES);
    expect(diskTurns).toBeLessThanOrEqual(3 * ENTRIES);
    // Two requests and two answers, and few heartbeats. Commits travel along with the next entry.
    expect(messages).toBeLessThanOrEqual(4.2 * ENTRIES);
    expect(turns).toBeLessThanOrEqual(10 * ENTRIES);
  },
);

scenario("a thousand entries, 64 at a time, share syncs, messages and encodings", 3, (lab) => {
  const { turns, messages, diskTurns, frames } = closedLoop(lab, 64);
  expect(diskTurns).toBeLessThanOrEqual(60);
  expect(frames).toBeLessThanOrEqual(60);
  expect(messages).toBeLessThanOrEqual(80);
  expect(turns).toBeLessThanOrEqual(190);
});

scenario("while nothing is proposed a node has a turn for each message, and none for the ticks between", 3, (lab) => {
  lab.one("before", 3);
  lab.settle();
  const before = counts(lab);
  lab.run(10_000);
  const after = counts(lab);
  expect(after.diskTurns - before.diskTurns).toBe(0);
  // A heartbeat to each follower every 100 ms, and its answer.
  expect(after.messages - before.messages).toBeLessThanOrEqual(410);
  expect(after.turns - before.turns).toBeLessThanOrEqual(800);
});
