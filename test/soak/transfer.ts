import { createHash } from "node:crypto";
import { SidecarClient } from "../../src/grpc/client.ts";
import { Cluster, type ClusterNode } from "../support/cluster.ts";
import { BUILT_MAIN } from "../support/sidecar-process.ts";
import { sleep, until } from "../support/wait.ts";
import { generatedChunks, sourceOf } from "./generated.ts";
import { Load } from "./load.ts";
import type { UnarySample } from "./unary-load.ts";
import { peakResidentBytes, residentBytes } from "./usage.ts";

const MIB = 2 ** 20;
const FORMAT = "soak-transfer/1";
const MAX_RESIDENT_BYTES = 256 * MIB;
const MAX_P99_RATIO = 2;

const BEFORE_MS = 15_000;
const CUT_MS = 1_000;
const WAIT_MS = 900_000;
const POLL_MS = 200;

/** Entries that the follower which was away misses. */
const MISSED = 2_000;

export interface TransferOptions {
  readonly bytes: number;
  readonly cuts: number;
  readonly rate: number;
  readonly snapshotRate: number | undefined;
  readonly write: (line: string) => void;
}

/** A large snapshot on its way to a follower that was away, and is cut off again and again, while the leader is written to. */
export class Transfer {
  readonly #options: TransferOptions;
  readonly #violations: string[] = [];
  /** Of each node, since the start and in the present phase. */
  readonly #peaks = new Map<string, number>();
  readonly #phasePeaks = new Map<string, number>();
  readonly #samples: [phase: string, sample: UnarySample, seconds: number][] = [];

  constructor(options: TransferOptions) {
    this.#options = options;
  }

  /** Whether all is well. */
  async run(): Promise<boolean> {
    const { bytes, rate, snapshotRate, write } = this.#options;
    const flags = ["--catch-up-entries", "0", "--snapshot-entries", "1000000000"];
    if (snapshotRate !== undefined) flags.push("--snapshot-rate", String(snapshotRate));
    const cluster = await Cluster.create({ process: { main: BUILT_MAIN }, size: 3, proxied: true, flags });
    const memory = setInterval(() => this.#lookAtMemory(cluster.nodes), POLL_MS);
    try {
      const leader = await cluster.leader();
      const [away, other] = cluster.others(leader) as [ClusterNode, ClusterNode];
      await away.kill();
      write(`${leader.id} leads, ${away.id} is away; ${(bytes / MIB).toFixed(0)} MiB are to be put`);
      const load = Load.unary(leader.client.address, rate);
      await sleep(BEFORE_MS / 3);
      await load.sample();
      await this.#during("before", load, () => sleep(BEFORE_MS));
      await until("enough is missed", async () => ((await leader.state())?.applied ?? 0) > MISSED, WAIT_MS);
      const { index, sha256 } = await this.#during("put", load, () => this.#put(leader));
      write(`${leader.id} has the snapshot of ${index}`);
      await this.#during("copy to the other follower", load, () => this.#hasSnapshot(other, index));
      await until("the log is cut off", async () => (await firstOf(leader)) === index + 1, WAIT_MS);
      await this.#during("transfer", load, async () => {
        await away.start();
        await this.#pull(cluster, away, index);
      });
      await this.#during("read back from the follower", load, () => this.#read(away, sha256));
      const { failed } = await load.stop();
      if (failed > 0) write(`${failed} proposals failed`);
      const now = await cluster.leader();
      if (now !== leader) write(`${now.id} leads now`);
      this.#lookAtMemory(cluster.nodes);
    } finally {
      clearInterval(memory);
      await cluster.close();
    }
    return this.#verdict();
  }

  async #put(node: ClusterNode): Promise<{ index: number; sha256: Uint8Array }> {
    const { applied } = (await node.state()) ?? { applied: 0 };
    const client = new SidecarClient(node.client.address);
    try {
      const what = { index: applied, term: 0, format: FORMAT };
      const { sha256 } = await client.putSnapshot(what, sourceOf(generatedChunks(this.#options.bytes)));
      return { index: applied, sha256 };
    } finally {
      client.close();
    }
  }

  async #hasSnapshot(node: ClusterNode, index: number): Promise<void> {
    const has = async (): Promise<boolean> => Number((await node.client.status()).snapshot?.index) === index;
    await until(`${node.id} has the snapshot`, has, WAIT_MS);
  }

  /** Until the snapshot is there, cut off from all others each time that another tenth has come. */
  async #pull(cluster: Cluster, away: ClusterNode, index: number): Promise<void> {
    const { cuts, write } = this.#options;
    let [done, received, goal] = [0, 0, 0];
    const isThere = async (): Promise<boolean> => {
      const { snapshot, snapshotPull } = await away.client.status();
      if (Number(snapshot?.index) === index) return true;
      if (snapshotPull === undefined) return false;
      const [now, total] = [Number(snapshotPull.receivedBytes), Number(snapshotPull.totalBytes)];
      if (now < received) this.#violations.push(`${received} bytes had come, and then it were ${now}`);
      received = now;
      if (goal === 0) goal = total / 10;
      if (total === 0 || now < goal || done === cuts) return false;
      done++;
      write(`cut ${done} of ${cuts}, after ${(now / MIB).toFixed(0)} of ${(total / MIB).toFixed(0)} MiB`);
      cluster.isolate([away]);
      await sleep(CUT_MS);
      const kept = Number((await away.client.status()).snapshotPull?.receivedBytes ?? 0);
      if (kept < now) this.#violations.push(`the cut after ${now} bytes left ${kept}`);
      cluster.heal();
      [received, goal] = [kept, kept + total / 10];
      return false;
    };
    await until(() => `${away.id} has the snapshot, after ${received} bytes`, isThere, WAIT_MS);
    if (done < cuts) this.#violations.push(`the snapshot was there after ${done} of ${cuts} cuts`);
    const failed = away.lines.filter(({ event }) => event === "could not take over a snapshot");
    if (failed.length > 0) this.#violations.push(`${failed.length} pulls failed: ${JSON.stringify(failed[0])}`);
  }

  /** What the node that was away has, held against what was put. */
  async #read(away: ClusterNode, sha256: Uint8Array): Promise<void> {
    const client = new SidecarClient(away.client.address);
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const part of client.getSnapshot([FORMAT])) {
      if (!(part instanceof Uint8Array)) continue;
      hash.update(part);
      bytes += part.length;
    }
    client.close();
    const isSame = bytes === this.#options.bytes && hash.digest().equals(sha256);
    this.#options.write(`${away.id} gives back ${bytes} bytes, ${isSame ? "the same" : "OTHERS"}`);
    if (!isSame) this.#violations.push("what the follower gives back isn't what was put");
  }

  async #during<T>(phase: string, load: Load<UnarySample, UnarySample>, work: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    this.#phasePeaks.clear();
    const result = await work();
    const sample = await load.sample();
    const seconds = (performance.now() - startMs) / 1_000;
    this.#samples.push([phase, sample, seconds]);
    const { acknowledged, p50, p99, max } = sample;
    const times = `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(0)} ms`;
    const resident = [...this.#phasePeaks].map(([id, bytes]) => `${id} ${(bytes / MIB).toFixed(0)}`);
    const memory = `resident at most ${resident.join(", ")} MiB`;
    this.#options.write(`${phase}: ${seconds.toFixed(1)} s, ${acknowledged} writes, ${times}; ${memory}`);
    return result;
  }

  #lookAtMemory(nodes: readonly ClusterNode[]): void {
    for (const node of nodes) {
      if (!node.isRunning) continue;
      const { pid } = node.process;
      this.#peaks.set(node.id, Math.max(peakResidentBytes(pid), this.#peaks.get(node.id) ?? 0));
      this.#phasePeaks.set(node.id, Math.max(residentBytes(pid), this.#phasePeaks.get(node.id) ?? 0));
    }
  }

  #verdict(): boolean {
    const { write } = this.#options;
    for (const [id, bytes] of this.#peaks) {
      write(`${id}: ${(bytes / MIB).toFixed(0)} MiB resident at most; target 256: ${met(bytes < MAX_RESIDENT_BYTES)}`);
    }
    const p99 = (phase: string): number => this.#samples.find(([name]) => name === phase)?.[1].p99 ?? Number.NaN;
    const ratio = p99("transfer") / p99("before");
    write(
      `p99 during the transfer is ${ratio.toFixed(2)} times that before; target ${MAX_P99_RATIO}: ${met(ratio <= MAX_P99_RATIO)}`,
    );
    for (const violation of this.#violations) write(`WRONG: ${violation}`);
    return this.#violations.length === 0;
  }
}

async function firstOf(node: ClusterNode): Promise<number> {
  return Number((await node.client.status()).state?.firstIndex);
}

function met(isMet: boolean): string {
  return isMet ? "met" : "MISSED";
}
