import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { freePorts } from "../support/ports.ts";
import { endAll, type Running, run, runHere, start, until } from "./command.ts";

let folder = "";
afterEach(async () => {
  await endAll();
  // The nodes of a dev that was killed end by themselves, a little later; a test that failed may leave some that don't.
  await until(
    () => "",
    () => pids().every((pid) => !isAlive(pid)),
  ).catch(() => {
    for (const pid of pids().filter(isAlive)) process.kill(pid, "SIGKILL");
  });
  seen.clear();
  rmSync(folder, { recursive: true });
});

const IDS = ["n1", "n2", "n3"];
/** Of every node that a test has seen. */
const seen = new Set<number>();

async function dev(more: readonly string[] = []): Promise<{ running: Running; addresses: string[]; args: string[] }> {
  folder = mkdtempSync(join(tmpdir(), "dev-"));
  const base = await freePorts(23);
  const args = ["dev", "--base-port", String(base), "--data-dir", folder, ...more];
  const running = start(args);
  await untilReady(running);
  return { running, args, addresses: [0, 10, 20].map((offset) => `127.0.0.1:${base + offset}`) };
}

async function untilReady(running: Running): Promise<void> {
  await until(
    () => running.stdout() + running.stderr(),
    () => running.stdout().includes("Ctrl-C ends all nodes."),
    40_000,
  );
}

function pidOf(id: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(folder, id, "pid"), "utf8"));
    seen.add(pid);
    return pid;
  } catch {
    return undefined;
  }
}

function pids(): number[] {
  for (const id of IDS) pidOf(id);
  return [...seen];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function statusOf(address: string): Promise<{ id: string; leader?: string; error?: string; commit?: number }[]> {
  const { stdout } = await runHere(["status", "-o", "json", "--address", address]);
  return JSON.parse(stdout).nodes;
}

it("runs three nodes that any command reaches, leaves a killed one dead, and ends all at Ctrl-C", async () => {
  const { running, addresses, args } = await dev();
  const [first = "", second = "", third = ""] = addresses;
  const before = IDS.map(pidOf);
  expect(new Set(before).size).toBe(3);

  const proposeAt = /grpcurl -plaintext -d '{"command": "aGVsbG8="}' (\S+)/.exec(running.stdout())?.[1] ?? "";
  const subscribeAt = /subscribe --address (\S+)/.exec(running.stdout())?.[1] ?? "";
  const killLine = /kill -9 (\d+) {4}# as in (\S+)/.exec(running.stdout());
  const nodes = await statusOf(first);
  expect(nodes.map(({ id }) => id)).toEqual(IDS);
  // Both outlive the leader, and one shows what was proposed at the other.
  const survivors = addresses.filter((_, index) => IDS[index] !== nodes[0]?.leader);
  expect([proposeAt, subscribeAt]).toEqual(survivors);
  expect(killLine?.[2]).toBe(join(folder, nodes[0]?.leader ?? "", "pid"));
  expect(Number(killLine?.[1])).toBe(pidOf(nodes[0]?.leader ?? ""));

  for (const address of addresses) expect((await runHere(["propose", "x", "--address", address])).code).toBe(0);

  // A second run beside this one, with other ports or the same.
  const beside = await run(args);
  expect(beside).toMatchObject({ code: 1, stdout: "" });
  expect(beside.stderr).toContain(`n1 runs already as ${before[0]}`);
  const elsewhere = await run([...args, "--data-dir", join(folder, "elsewhere")]);
  expect(elsewhere.code).toBe(1);
  expect(elsewhere.stderr).toContain(`${first} (n1 client)`);

  const leader = nodes[0]?.leader ?? "";
  const survivor = [first, second, third].find((_, index) => IDS[index] !== leader) ?? "";
  const subscriber = start(["subscribe", "-o", "json", "--address", addresses[IDS.indexOf(leader)] ?? ""]);
  await until(
    () => subscriber.stderr(),
    () => subscriber.stdout().split("\n").length === 4,
  );
  process.kill(pidOf(leader) ?? 0, "SIGKILL");
  await until(
    () => running.stdout(),
    () => running.stdout().includes(`${leader}  was ended by SIGKILL; it stays dead`),
  );
  expect(pidOf(leader)).toBeUndefined();
  await until(
    () => running.stdout(),
    async () => (await runHere(["propose", "y", "--address", survivor])).code === 0,
  );
  await until(
    () => subscriber.stderr(),
    () => subscriber.stdout().includes('"text":"y"'),
  );
  expect(subscriber.stderr()).toMatch(/going on at 127\.0\.0\.1:\d+ after index \d+/);
  const indexes = subscriber
    .stdout()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).index);
  expect(indexes).toEqual([...new Set(indexes)].sort((a, b) => a - b));
  const after = await statusOf(survivor);
  expect(after.map(({ id }) => id)).toEqual(IDS);
  expect(after.find(({ id }) => id === leader)?.error).toContain("ECONNREFUSED");

  running.child.kill("SIGINT");
  expect((await running.finished).code).toBe(0);
  expect(before.filter((pid) => isAlive(pid ?? 0))).toEqual([]);
  expect(IDS.map(pidOf)).toEqual([undefined, undefined, undefined]);
}, 90_000);

it("starts a killed node again with --restart, and continues the data of a former run", async () => {
  const { running, addresses, args } = await dev(["--restart"]);
  const [first = ""] = addresses;
  expect((await runHere(["propose", "kept", "--address", first])).code).toBe(0);
  const pid = pidOf("n2") ?? 0;
  process.kill(pid, "SIGKILL");
  await until(
    () => running.stdout(),
    () => ![undefined, pid].includes(pidOf("n2")),
  );
  await until(
    () => running.stdout(),
    async () => (await statusOf(first)).every((node) => node.error === undefined),
  );
  running.child.kill("SIGTERM");
  expect((await running.finished).code).toBe(0);

  const again = start(args);
  await untilReady(again);
  const { stdout } = await runHere(["subscribe", "--count", "1", "-o", "json", "--address", first]);
  expect(JSON.parse(stdout).text).toBe("kept");
  again.child.kill("SIGINT");
  expect((await again.finished).code).toBe(0);
}, 90_000);

it("leaves no node behind when it is killed itself", async () => {
  const { running } = await dev();
  const nodes = pids().filter(isAlive);
  expect(nodes).toHaveLength(3);
  running.child.kill("SIGKILL");
  await running.finished;
  await until(
    () => "nodes still run",
    () => nodes.every((pid) => !isAlive(pid)),
  );
}, 60_000);
