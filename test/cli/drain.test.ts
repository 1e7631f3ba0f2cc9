import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import Database from "better-sqlite3";
import { service as health } from "grpc-health-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import { type Proposal, SidecarClient } from "../../src/grpc/client.ts";
import { freePorts } from "../support/ports.ts";
import { endAll, type Running, start, until } from "./command.ts";

let folder: string;
const clients: SidecarClient[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "drain-"));
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await endAll();
  rmSync(folder, { recursive: true });
});

interface Served {
  readonly id: string;
  readonly running: Running;
  readonly client: SidecarClient;
  readonly http: string;
}

/** Three nodes that elect slowly, so that a leader without followers stays one for a while. */
async function serveThree(): Promise<Served[]> {
  const port = await freePorts(9);
  const at = (k: number, offset: number): string => `127.0.0.1:${port + 3 * k + offset}`;
  const cluster = [0, 1, 2].map((k) => `n${k + 1}=${at(k, 1)}`).join(",");
  return [0, 1, 2].map((k) => {
    const id = `n${k + 1}`;
    const running = start([
      ...["serve", "--id", id, "--data-dir", join(folder, id), "--initial-cluster", cluster],
      ...["--client-address", at(k, 0), "--peer-address", at(k, 1), "--http-address", at(k, 2)],
      ...["--election-timeout-min-ms", "2500", "--election-timeout-max-ms", "3000"],
    ]);
    const client = new SidecarClient(at(k, 0));
    clients.push(client);
    return { id, running, client, http: `http://${at(k, 2)}` };
  });
}

function proposal(text: string): Proposal {
  return { command: Buffer.from(text), id: undefined, expectedTerm: 0 };
}

function reasonOf(error: unknown): string {
  const failure = error instanceof CallFailure ? error.failure : undefined;
  return failure?.reason ?? `not refused: ${String(error)}`;
}

/** By grpc.health.v1. */
function isServing(address: string): Promise<boolean> {
  const { Check: check } = health;
  const client = new Client(address, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    if (check === undefined) return reject(new Error("health has a Check"));
    const { path, requestSerialize, responseDeserialize } = check;
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, (error, response) => {
      client.close();
      if (error === null) resolve((response as unknown as { status: string }).status === "SERVING");
      else reject(error);
    });
  });
}

/** A leader with a proposal that can't commit: its followers hang. */
async function leaderWithPending(): Promise<{ leader: Served; pending: Promise<unknown> }> {
  const nodes = await serveThree();
  const leader = await until(
    () => nodes.map(({ running }) => running.stdout() + running.stderr()).join(""),
    async () => {
      const [first] = nodes;
      const leading = (await first?.client.status(1_000).catch(() => undefined))?.leader;
      return nodes.find(({ id }) => id === leading);
    },
    40_000,
  );
  await leader.client.propose(proposal("committed"), 5_000);
  for (const node of nodes) if (node !== leader) node.running.child.kill("SIGSTOP");
  const { last } = await leader.client.status(5_000);
  const pending = leader.client.propose(proposal("pending"), 10_000).catch(reasonOf);
  await until(
    () => "the proposal is not appended",
    async () => (await leader.client.status(5_000)).last > last,
  );
  return { leader, pending };
}

it("refuses what is new with DRAINING, answers what is pending, and ends with 0 within 5 s at SIGTERM", async () => {
  const { leader, pending } = await leaderWithPending();
  await until(
    () => "not serving",
    () => isServing(leader.client.address),
  );
  const askedMs = performance.now();
  leader.running.child.kill("SIGTERM");
  await until(
    () => "still ready",
    async () => {
      const response = await fetch(`${leader.http}/readyz`);
      return response.status === 503 && (await response.text()) === "shutting down\n";
    },
  );
  expect(await isServing(leader.client.address)).toBe(false);
  expect(await leader.client.propose(proposal("late"), 5_000).catch(reasonOf)).toBe("DRAINING");

  expect(await pending).toBe("OUTCOME_UNKNOWN");
  expect((await leader.running.finished).code).toBe(0);
  expect(performance.now() - askedMs).toBeLessThan(5_000);
}, 90_000);

it("ends with 1 within 5 s at SIGTERM when its disk hangs, for not all is well", async () => {
  const port = await freePorts(3);
  const [at, dataDir] = [`127.0.0.1:${port}`, join(folder, "n1")];
  const listeners = ["--peer-address", `127.0.0.1:${port + 1}`, "--http-address", `127.0.0.1:${port + 2}`];
  const running = start(["serve", "--data-dir", dataDir, "--client-address", at, ...listeners]);
  const client = new SidecarClient(at);
  clients.push(client);
  await until(running.stdout, () => client.propose(proposal("committed"), 5_000).catch(() => undefined));

  const disk = new Database(join(dataDir, "raft.db"));
  disk.exec("BEGIN IMMEDIATE");
  const pending = client.propose(proposal("pending"), 10_000).catch(reasonOf);
  await until(running.stdout, async () => (await client.status(5_000)).last > 2);
  const askedMs = performance.now();
  running.child.kill("SIGTERM");
  expect((await running.finished).code).toBe(1);
  expect(performance.now() - askedMs).toBeLessThan(5_000);
  expect(await pending).toBe("OUTCOME_UNKNOWN");
  disk.close();
}, 60_000);

it("ends at once, with 1, at a second signal", async () => {
  const { leader, pending } = await leaderWithPending();
  leader.running.child.kill("SIGTERM");
  await until(leader.running.stdout, () => leader.running.stdout().includes('"stopping"'));
  leader.running.child.kill("SIGINT");
  expect((await leader.running.finished).code).toBe(1);
  expect(leader.running.stdout()).not.toContain('"stopped"');
  expect(await pending).toContain("not refused");
}, 90_000);

it("killed, says nothing to whoever waits: the status has no reason of ours, so the outcome is unknown", async () => {
  const { leader, pending } = await leaderWithPending();
  leader.running.child.kill("SIGKILL");
  expect(await pending).toContain("not refused");
}, 90_000);
