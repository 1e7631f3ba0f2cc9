import { once } from "node:events";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { EntryType } from "../../gen/raft/v1/log_pb.js";
import { TestClient } from "../support/client.ts";
import { Cluster } from "../support/cluster.ts";
import { Audit } from "./audit.ts";
import { anyCase, type Case } from "./cases.ts";
import { disguise, identitiesOf } from "./members.ts";
import { MemoryWatch } from "./memory.ts";
import { NO_ANSWER, type Result, Sender } from "./sender.ts";
import { Tally } from "./tally.ts";
import { WELL_BEHAVED, type WellBehavedReport } from "./well-behaved.ts";

export interface CampaignOptions {
  readonly messages: number;
  readonly seed: number;
  /** Only this one; undefined for all. */
  readonly batch: number | undefined;
  readonly write: (line: string) => void;
}

const NODES = 3;

/** Cases that are generated together, and after which the nodes are looked at. */
const BATCH_CASES = 400;

/** Cases under way at a time. */
const CONCURRENCY = 48;

const MAX_FAILURES_SHOWN = 10;

/** The terms that elections of three undisturbed nodes could ever need in a run. */
const MAX_TERM_RISE = 50;

/**
 * Lines that a node may write a second: a log is a disk, too. Most are of members whose streams end when somebody else comes
 * with their handshake; how soon they dial again bounds these.
 */
const MAX_LINES_PER_SECOND = 40;

/** One run: a cluster, a client that behaves, and a stranger who sends whatever bytes can be. */
export class Campaign {
  readonly #options: CampaignOptions;
  readonly #failures: string[] = [];
  readonly #tally = new Tally();
  readonly #audit = new Audit();
  #leader = "";

  constructor(options: CampaignOptions) {
    this.#options = options;
  }

  /** Whether all is well. */
  async run(): Promise<boolean> {
    const { write, seed, messages, batch } = this.#options;
    write(`seed ${seed}: ${messages} messages to ${NODES} nodes`);
    const cluster = await Cluster.create({ size: NODES });
    this.#leader = (await cluster.leader()).id;
    await cluster.nodes[0]?.commit("before");
    this.#audit.allow("before");
    const termBefore = (await cluster.nodes[0]?.state())?.term ?? 0;
    const startMs = performance.now();
    const memory = new MemoryWatch(cluster.nodes.map((node) => node.process.pid));
    const client = new Worker(new URL("./well-behaved.ts", import.meta.url), {
      workerData: cluster.nodes.map((node) => node.client.address),
    });
    const reported = once(client, "message") as Promise<[WellBehavedReport]>;
    await this.#attack(cluster, memory);
    const seconds = (performance.now() - startMs) / 1_000;
    client.postMessage("stop");
    // It waits for nodes that have ended in vain.
    if (this.#failures.length === 0) this.#checkClient((await reported)[0]);
    await client.terminate();
    await memory.settle();
    this.#check(cluster, memory, seconds);
    if (this.#failures.length === 0) await this.#checkLog(cluster, termBefore);
    this.#tally.write(write);
    for (const line of memory.lines()) write(line);
    write(
      `${this.#tally.messages} messages in ${this.#tally.cases} cases, ${seconds.toFixed(0)} s` +
        `${batch === undefined ? "" : `, batch ${batch} only`}; ${this.#audit.commandsSent} commands could be read`,
    );
    for (const failure of this.#failures.slice(0, MAX_FAILURES_SHOWN)) write(`FAILED: ${failure}`);
    if (this.#failures.length > 0)
      write(`to see it again: make fuzz SEED=${seed} MESSAGES=${messages}; BATCH=N sends one batch alone`);
    return this.#failures.length === 0;
  }

  async #attack(cluster: Cluster, memory: MemoryWatch): Promise<void> {
    const { messages, seed, batch, write } = this.#options;
    const members = await identitiesOf(cluster.node(this.#leader).client);
    const targets = cluster.nodes.map((node) => ({
      client: node.client.address,
      peer: node.peerAddress,
      http: node.httpAddress,
    }));
    const sender = new Sender(
      targets,
      disguise(members, () => this.#leader),
      (path, body) => this.#audit.note(path, body),
    );
    const cases = anyCase(NODES);
    let shown = 0;
    for (let number = batch ?? 0; this.#tally.messages < messages; number++) {
      // A batch has a seed of its own, so that it can be had without those before.
      const failed = await this.#sendBatch(fc.sample(cases, { seed: seed + number, numRuns: BATCH_CASES }), sender);
      const isDown = cluster.nodes.some((node) => !node.isRunning);
      this.#noteFailures(failed, number, isDown ? cluster.describe() : "");
      if (isDown || this.#failures.length >= MAX_FAILURES_SHOWN || batch !== undefined) break;
      try {
        this.#leader = (await cluster.leader()).id;
      } catch (error) {
        this.#failures.push(`batch ${number}: ${error}: ${cluster.describe()}`);
        break;
      }
      memory.progress(this.#tally.messages / messages);
      if (this.#tally.messages - shown >= messages / 10) {
        shown = this.#tally.messages;
        write(`${shown} messages, ${memory.now()}`);
      }
    }
    sender.close();
  }

  /** Those whose result must not be. */
  async #sendBatch(cases: readonly Case[], sender: Sender): Promise<(readonly [Case, Result])[]> {
    const failed: (readonly [Case, Result])[] = [];
    const waiting = [...cases];
    const work = async (): Promise<void> => {
      for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
        const result = await sender.send(one);
        this.#tally.add(one, result);
        if (!isFine(one, result)) failed.push([one, result]);
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
    return failed;
  }

  #noteFailures(failed: readonly (readonly [Case, Result])[], batch: number, down: string): void {
    for (const [one, { outcome, details }] of failed) {
      this.#failures.push(`batch ${batch}: ${outcome} ${details} to ${describe(one)}`);
    }
    if (down !== "") this.#failures.push(`batch ${batch}: a node has ended: ${down}`);
  }

  #checkClient({ acknowledged, p50Ms, p99Ms, maxMs, failed, violations }: WellBehavedReport): void {
    this.#options.write(
      `well-behaved client: ${acknowledged} acknowledged, p50 ${p50Ms.toFixed(1)} ms, ` +
        `p99 ${p99Ms.toFixed(1)} ms, longest ${maxMs.toFixed(0)} ms, failed ${JSON.stringify(failed)}`,
    );
    this.#failures.push(...violations);
    if (acknowledged === 0) this.#failures.push("nothing of the well-behaved client was acknowledged");
  }

  #check(cluster: Cluster, memory: MemoryWatch, seconds: number): void {
    for (const node of cluster.nodes) {
      // 50 is pino's "error".
      const bad = node.lines.filter(({ level }) => Number(level) >= 50);
      for (const line of bad) this.#failures.push(`${node.id} wrote ${JSON.stringify(line)}`);
      if (node.process.stderr !== "")
        this.#failures.push(`${node.id} wrote to its standard error: ${node.process.stderr}`);
      if (!node.isRunning) this.#failures.push(`${node.id} has ended`);
      if (node.lines.length > 100 + seconds * MAX_LINES_PER_SECOND) {
        this.#failures.push(`${node.id} wrote ${node.lines.length} lines: ${node.process.describe()}`);
      }
    }
    this.#failures.push(...memory.violations());
  }

  /** The cluster still commits; its term is what elections made it; and the log holds what was proposed and nothing else. */
  async #checkLog(cluster: Cluster, termBefore: number): Promise<void> {
    const { index, term } = (await cluster.nodes[1]?.commit("after")) ?? { index: 0, term: 0 };
    this.#audit.allow("after");
    await cluster.allApplied(index);
    if (term > termBefore + MAX_TERM_RISE) this.#failures.push(`the term rose from ${termBefore} to ${term}`);
    for (const node of cluster.nodes) {
      for (const line of await foreignCommands(node.client.address, index, this.#audit.copy())) {
        this.#failures.push(`${node.id}: ${line}`);
      }
    }
  }
}

/** A gRPC status has to be clear: neither a failure of ours that we don't know, nor none at all. */
function isFine(one: Case, { outcome, details }: Result): boolean {
  if (outcome === NO_ANSWER || outcome === "not sent") return false;
  if (one.kind === "raw") return true;
  // grpc-js refuses a timeout that it can't read with INTERNAL, as the other implementations do.
  if (outcome === "status 13" && details.includes("grpc-timeout")) return true;
  return !["status 2", "status 13", "status 15"].includes(outcome);
}

/** Enough to send it again by hand. */
function describe(one: Case): string {
  if (one.kind === "raw") return `node ${one.node} ${one.listener}, ${one.name}: ${hex(one.bytes)}`;
  const messages = one.messages.map(({ bytes, made }) => `${made} ${hex(bytes)}`).join(", ");
  const { node, rpc, body, end, accepted } = one;
  return `node ${node} ${rpc.path} (${body}, ${end}${accepted ? ", as a member" : ""}) ${JSON.stringify(one.headers)} [${messages}]`;
}

function hex(bytes: Uint8Array): string {
  return bytes.length <= 200 ? Buffer.from(bytes).toString("hex") : `${bytes.length} bytes`;
}

/** Commands up to `index` that nobody proposed. */
async function foreignCommands(address: string, index: number, audit: Audit): Promise<string[]> {
  const client = new TestClient(address);
  const found: string[] = [];
  const stream = client.readLogStream();
  for await (const { entries } of stream) {
    for (const entry of entries) {
      if (entry.type !== EntryType.COMMAND || entry.index > BigInt(index)) continue;
      const text = Buffer.from(entry.command).toString();
      if (text.startsWith(WELL_BEHAVED) || audit.maybeTake(entry.command)) continue;
      found.push(`nobody proposed what is committed at ${entry.index}: ${hex(entry.command)}`);
    }
  }
  client.close();
  return found;
}
