import { parentPort, workerData } from "node:worker_threads";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import { TestClient } from "../support/client.ts";
import { Subscriber } from "../support/subscriber.ts";
import { sleep, until } from "../support/wait.ts";

/**
 * The client that does nothing wrong while others do everything wrong, in a thread of its own: it proposes at a steady rate
 * on every node and applies the log of every node. Told to stop, it waits for what it was promised and reports.
 */
export interface WellBehavedReport {
  readonly acknowledged: number;
  /** By reason, those without an acknowledgement. */
  readonly failed: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** What was promised and not kept. */
  readonly violations: readonly string[];
}

/** Every command of the well-behaved client begins so, and none of anybody else. */
export const WELL_BEHAVED = "well-behaved ";

const PER_NODE_PER_SECOND = 10;

async function run(addresses: readonly string[], stopped: Promise<void>): Promise<WellBehavedReport> {
  const clients = addresses.map((address) => new TestClient(address));
  const subscribers = clients.map((client) => new Subscriber([client]));
  const latenciesMs: number[] = [];
  const acknowledged = new Map<string, number>();
  const failed: Record<string, number> = {};
  let isStopped = false;
  const proposeOne = async (client: TestClient, command: string): Promise<void> => {
    const startMs = performance.now();
    try {
      const { index } = await client.propose(command);
      latenciesMs.push(performance.now() - startMs);
      acknowledged.set(command, index);
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      const reason = error.failure?.reason ?? error.code;
      failed[reason] = (failed[reason] ?? 0) + 1;
    }
  };
  const proposing = clients.map(async (client, node) => {
    const open: Promise<void>[] = [];
    for (let i = 0; !isStopped; i++) {
      open.push(proposeOne(client, `${WELL_BEHAVED}${node} ${i}`));
      await sleep(1_000 / PER_NODE_PER_SECOND);
    }
    await Promise.all(open);
  });
  await stopped;
  isStopped = true;
  await Promise.all(proposing);
  const last = Math.max(0, ...acknowledged.values());
  const violations: string[] = [];
  for (const [node, subscriber] of subscribers.entries()) {
    await until(`node ${node} delivers everything`, () => subscriber.position >= last, 60_000);
    violations.push(...subscriber.violations, ...missing(subscriber, acknowledged));
  }
  for (const subscriber of subscribers) await subscriber.close();
  for (const client of clients) client.close();
  latenciesMs.sort((a, b) => a - b);
  const quantile = (q: number): number => latenciesMs[Math.floor(q * (latenciesMs.length - 1))] ?? Number.NaN;
  return {
    acknowledged: acknowledged.size,
    failed,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    maxMs: quantile(1),
    violations,
  };
}

/** What was acknowledged and doesn't come exactly once, where it was said to be; and what comes twice at all. */
function missing(subscriber: Subscriber, acknowledged: ReadonlyMap<string, number>): string[] {
  const at = new Map<string, number>();
  const violations: string[] = [];
  for (const { index, command } of subscriber.entries) {
    if (!command.startsWith(WELL_BEHAVED)) continue;
    if (at.has(command)) violations.push(`"${command}" was delivered twice`);
    at.set(command, index);
  }
  for (const [command, index] of acknowledged) {
    if (at.get(command) !== index)
      violations.push(`"${command}" was acknowledged at ${index}, is at ${at.get(command)}`);
  }
  return violations;
}

if (parentPort !== null) {
  const port = parentPort;
  const stopped = new Promise<void>((resolve) => port.once("message", () => resolve()));
  port.postMessage(await run(workerData as readonly string[], stopped));
}
