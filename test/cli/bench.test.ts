import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BenchReport } from "../../src/cli/bench-report.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { sleep, until } from "../support/wait.ts";
import { endAll, type Finished, type Running, run, start } from "./command.ts";

afterEach(endAll);
afterAll(closeClusters);

/** What a run wrote in JSON. */
function reportIn({ stdout }: Finished): BenchReport {
  return JSON.parse(stdout);
}

function bench(nodes: readonly ClusterNode[], ...flags: string[]): string[] {
  const addresses = nodes.map((node) => node.client.address);
  return ["bench", "--address", addresses.join(","), "--warm-up", "0", "-o", "json", ...flags];
}

/** Resolves when the load has begun. */
async function announced(running: Running): Promise<void> {
  await until(
    () => `it begins: ${running.stderr()}`,
    () => running.stderr().includes("every subscriber gets them\n"),
  );
}

async function commandsIn(node: ClusterNode): Promise<number> {
  return (await node.client.readLog()).length;
}

describe("with three nodes", () => {
  let cluster: Cluster;
  let leader: ClusterNode;
  let follower: ClusterNode;
  beforeAll(async () => {
    cluster = await Cluster.create({ size: 3 });
    leader = await cluster.leader();
    const [other] = cluster.others(leader);
    if (other === undefined) throw new Error("three nodes");
    follower = other;
  });

  it.each(["stream", "unary"] as const)("%s: each acknowledgement it counts is an entry", async (mode) => {
    const before = await commandsIn(leader);
    const flags = ["--mode", mode, "--duration", "1", "--warm-up", "1", "--in-flight", "8", "--size", "100"];
    const finished = await run(bench([follower], ...flags));
    expect(finished.code).toBe(0);
    const { address } = follower.client;
    const place = `${address} (${follower.id}, a follower, ${leader.id} leads)`;
    expect(finished.stderr).toBe(
      `writes as many entries of 100 bytes as get through in 2 s, 8 in flight, to the log at ${place}; they stay there, ` +
        "and every subscriber gets them\n",
    );
    const report = reportIn(finished);
    expect(report).toMatchObject({
      address,
      mode,
      inFlight: 8,
      ratePerSecond: null,
      sizeBytes: 100,
      latencyFrom: "sent",
    });
    expect(report).toMatchObject({ durationSeconds: 1, endedEarly: false, failed: 0, failures: {}, sendDelayMs: null });
    expect(report.acknowledged).toBeGreaterThan(0);
    expect(report.entriesWritten).toBeGreaterThanOrEqual(report.acknowledged);
    const { p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0 } = report.latencyMs ?? {};
    expect([p50, p90, p99, p999, max]).toEqual([p50, p90, p99, p999, max].sort((a, b) => a - b));
    expect(p50).toBeGreaterThan(0);
    expect(await commandsIn(leader)).toBe(before + report.entriesWritten);
  });

  it("at a rate it proposes as many as are due, and a stall counts for all that were due in it", async () => {
    const before = await commandsIn(leader);
    const running = start(bench([follower], "--rate", "100", "--duration", "2", "--in-flight", "4"));
    await announced(running);
    follower.pause();
    await sleep(1_000);
    follower.resume();
    const report = reportIn(await running.finished);
    expect(report).toMatchObject({ ratePerSecond: 100, latencyFrom: "due", acknowledged: 200, failed: 0 });
    expect(await commandsIn(leader)).toBe(before + 200);
    // In the stall at most 4 were sent, a fiftieth of all; half of all were due.
    expect(report.latencyMs?.p90).toBeGreaterThan(500);
    expect(report.sendDelayMs?.p90).toBeGreaterThan(500);
  });

  it("shows a table to people, and no progress where there is no terminal", async () => {
    const finished = await run([...bench([leader], "--rate", "50", "--duration", "1"), "-o", "table"]);
    expect(finished.stdout).toMatch(/^1 +50 +[0-9.]+ +[0-9,]+ +0$/m);
    expect(finished.stdout).toMatch(/^latency, from when due( +[0-9.]+){5}$/m);
    expect(finished.stdout).toContain("50 entries were written to the log");
    expect(finished.stderr).toMatch(/^writes 50 entries of 256 bytes to the log at \S+ \(n\d, the leader\); .*\n$/);
    expect(finished.code).toBe(0);
  });

  it("shows at Ctrl-C what it measured so far", async () => {
    const running = start(bench([leader], "--duration", "600"));
    await announced(running);
    await sleep(200);
    running.child.kill("SIGINT");
    const finished = await running.finished;
    expect(finished.code).toBe(0);
    const report = reportIn(finished);
    expect(report).toMatchObject({ endedEarly: true, failed: 0 });
    expect(report.acknowledged).toBeGreaterThan(0);
    expect(report.durationSeconds).toBeLessThan(60);
  });

  it("ends at a second Ctrl-C without waiting for answers", async () => {
    const running = start(bench([follower], "--duration", "600"));
    await announced(running);
    follower.pause();
    while (running.child.exitCode === null) {
      running.child.kill("SIGINT");
      await sleep(100);
    }
    follower.resume();
    expect(await running.finished).toMatchObject({ code: 1, stdout: "" });
  });

  it("says at once when no node would take such a command", async () => {
    const { code, stderr, stdout } = await run(bench([follower], "--size", "1500000", "--in-flight", "2"));
    expect(stderr).toContain("nothing was acknowledged in the measured time: INVALID_ARGUMENT");
    expect(stderr).toContain("Give another --size");
    expect(JSON.parse(stdout)).toMatchObject({ acknowledged: 0, endedEarly: true, latencyMs: null });
    expect(code).toBe(1);
  });
});

it.each(["stream", "unary"] as const)(
  "%s: goes on at the next address when its node is killed",
  async (mode) => {
    const cluster = await Cluster.create({ size: 3 });
    const leader = await cluster.leader();
    const [other] = cluster.others(leader);
    if (other === undefined) throw new Error("three nodes");
    const running = start(bench([leader, other], "--mode", mode, "--duration", "4", "--rate", "100"));
    await announced(running);
    await sleep(500);
    await leader.kill();
    const finished = await running.finished;
    const report = reportIn(finished);
    expect({ code: finished.code, address: report.address }).toEqual({ code: 0, address: other.client.address });
    expect(report.acknowledged + report.failed).toBe(400);
    expect(report.acknowledged).toBeGreaterThan(100);
    // What had no answer when the leader died may be in the log.
    const commands = await commandsIn(await cluster.leader(cluster.others(leader)));
    expect(commands).toBeGreaterThanOrEqual(report.entriesWritten);
    expect(commands).toBeLessThanOrEqual(report.entriesWritten + report.failed);
  },
  60_000,
);

it("goes on at the next address when its node hangs for longer than an answer may take", async () => {
  const cluster = await Cluster.create({ size: 3 });
  const [hung, other] = cluster.others(await cluster.leader());
  if (hung === undefined || other === undefined) throw new Error("three nodes");
  const running = start(bench([hung, other], "--duration", "3", "--rate", "100", "--timeout-ms", "500"));
  await announced(running);
  hung.pause();
  const report = reportIn(await running.finished);
  hung.resume();
  expect(report.address).toBe(other.client.address);
  expect(report.acknowledged).toBeGreaterThan(0);
  expect(Object.keys(report.failures)).toContain("DEADLINE_EXCEEDED");
}, 60_000);

it("fails with what was refused when there is no leader", async () => {
  const cluster = await Cluster.create({ size: 3 });
  const [first, ...others] = cluster.nodes;
  if (first === undefined) throw new Error("three nodes");
  for (const node of others) await node.kill();
  await until("it has no leader", async () => (await first.state())?.leader === "");
  const { code, stdout, stderr } = await run(bench([first], "--duration", "2", "--timeout-ms", "2000"));
  expect(stderr).toContain("no leader known");
  expect(stderr).toContain("nothing was acknowledged in the measured time: NO_LEADER: ");
  const report: BenchReport = JSON.parse(stdout);
  expect(report).toMatchObject({ acknowledged: 0, latencyMs: null, entriesWritten: 0 });
  expect(report.failures).toEqual({ NO_LEADER: report.failed });
  expect(code).toBe(1);
}, 60_000);
