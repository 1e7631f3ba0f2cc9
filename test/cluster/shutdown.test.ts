import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ProposeStreamResponse } from "../../gen/raft/v1/log_pb.js";
import { failureOf, proposeItems } from "../support/client.ts";
import { Cluster, closeClusters } from "../support/cluster.ts";
import { Subscriber } from "../support/subscriber.ts";
import { sleep, until } from "../support/wait.ts";
import { type Outcome, outcomeOf } from "../support/writers.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.create({ size: 3 });
}, 60_000);
beforeEach(async () => {
  await Promise.all(cluster.nodes.filter((node) => !node.isRunning).map((node) => node.start()));
});
afterAll(closeClusters);

interface Proposed {
  readonly startedMs: number;
  readonly outcome: Outcome;
}

describe("SIGTERM on the leader under load", () => {
  it("answers every call in flight, refuses new ones, ends the streams with a status, and exits 0 within 5 s", async () => {
    const leader = await cluster.leader();
    const subscription = leader.client.apply({});
    const watch = leader.client.watch();
    const stream = leader.client.proposeStream();
    const ends = [subscription, watch, stream].map(
      (call) => new Promise<string>((resolve) => call.once("status", ({ details }) => resolve(details))),
    );
    for (const call of [subscription, watch, stream]) {
      call.on("error", () => {});
      call.on("data", () => {});
    }
    const answeredItems: number[] = [];
    /** What became of each item, by the command's number: "committed", or the reason of its failure. */
    const fates = new Map<number, string>();
    stream.on("data", ({ results }: ProposeStreamResponse) => {
      answeredItems.push(...results.map(({ requestId }) => Number(requestId)));
      for (const { requestId, outcome } of results) {
        fates.set(Number(requestId) + 1, outcome.case === "error" ? outcome.value.reason : "committed");
      }
    });
    let sentItems = 0;
    let stopping = false;
    const proposed: Proposed[] = [];
    const writers = Array.from({ length: 16 }, async (_, writer) => {
      for (let n = 0; ; n++) {
        const startedMs = performance.now();
        const command = `w${writer}-${n}`;
        const outcome = await leader.client
          .propose(command)
          .then((at): Outcome => ({ kind: "acknowledged", at }), outcomeOf);
        proposed.push({ startedMs, outcome });
        if (outcome.kind !== "acknowledged" && stopping) return;
      }
    });
    const streaming = (async () => {
      while (!stopping) {
        stream.write(proposeItems([{ requestId: sentItems++, command: `s-${sentItems}` }]));
        await sleep(2);
      }
    })();
    await until("there is load", () => proposed.length > 300 && answeredItems.length > 200);

    const signalledMs = performance.now();
    stopping = true;
    expect(await leader.stop()).toBe(0);
    expect(performance.now() - signalledMs).toBeLessThan(5_000);
    await Promise.all([...writers, streaming]);

    const inFlight = proposed.filter(({ startedMs }) => startedMs < signalledMs);
    expect(inFlight.length).toBeGreaterThan(300);
    // A status of ours, never the bare one of a connection that broke.
    const bare = inFlight.filter(({ outcome }) => outcome.kind === "unknown" && outcome.why !== "OUTCOME_UNKNOWN");
    expect(bare).toEqual([]);
    const after = proposed.filter(
      ({ startedMs, outcome }) => startedMs >= signalledMs && outcome.kind !== "acknowledged",
    );
    for (const { outcome } of after) {
      if (outcome.kind === "refused") expect(outcome.reason).toBe("DRAINING");
      else expect(JSON.stringify(outcome)).toMatch(/UNAVAILABLE|OUTCOME_UNKNOWN/);
    }
    // Everything that was read; what was still under way when the stream ended is not proposed.
    expect(answeredItems.toSorted((a, b) => a - b)).toEqual(answeredItems.map((_, i) => i));
    expect(answeredItems.length).toBeGreaterThan(sentItems - 10);
    for (const details of await Promise.all(ends)) expect(details).toMatch(/shuts down/);
    const events = leader.lines.map((line) => line.event);
    expect(events.slice(-2)).toEqual(["stopping", "stopped"]);
    const next = await cluster.leader(cluster.others(leader));
    await next.commit("after the stop");
    const log = (await next.client.readLog())
      .flatMap(({ command }) => /^s-(\d+)$/.exec(command)?.[1] ?? [])
      .map(Number);
    // Acknowledged items are there, and no item that was refused or never read.
    expect(new Set(log).size).toBe(log.length);
    const committed = [...fates].filter(([, fate]) => fate === "committed").map(([item]) => item);
    expect(committed.filter((item) => !log.includes(item))).toEqual([]);
    const mayBeThere = new Set(["committed", "OUTCOME_UNKNOWN"]);
    expect(log.filter((item) => !mayBeThere.has(fates.get(item) ?? "never read"))).toEqual([]);
    expect([...fates.values()].filter((fate) => !mayBeThere.has(fate) && fate !== "DRAINING")).toEqual([]);
  });

  it("leaves the others to go on, with all that was acknowledged", async () => {
    const leader = await cluster.leader();
    const acknowledged = await leader.commit("acknowledged before the end");
    expect(await leader.stop()).toBe(0);
    const others = cluster.others(leader);
    await cluster.leader(others);
    const reader = new Subscriber(others.map((node) => node.client));
    const entries = await reader.reaches(acknowledged.index);
    expect(entries.at(acknowledged.index - (entries.at(-1)?.index ?? 0) - 1)?.command).toBe(
      "acknowledged before the end",
    );
    await reader.close();
    const failure = await failureOf(leader.client.propose("to nobody"));
    expect(failure.failure).toBeUndefined();
  });
});

it("elects another leader while the leader's process is stopped, which follows once it goes on", async () => {
  const stopped = await cluster.leader();
  const before = (await stopped.state())?.term ?? 0;
  stopped.pause();
  try {
    const others = cluster.others(stopped);
    const next = await cluster.leader(others);
    const { index } = await next.commit("while one process is stopped");
    stopped.resume();
    await cluster.allApplied(index);
    const leader = await cluster.leader();
    expect((await leader.state())?.term).toBeGreaterThan(before);
  } finally {
    stopped.resume();
  }
});
