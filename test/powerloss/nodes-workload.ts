import { join } from "node:path";
import { EntryType } from "../../src/raft/types.ts";
import { Cluster, type ClusterNode } from "../support/cluster.ts";
import { putState } from "../support/put-state.ts";
import { sleep } from "../support/wait.ts";
import { Writers } from "../support/writers.ts";
import { type Opened, openWhole } from "./opened.ts";
import { Promises } from "./promises.ts";
import { Recorder } from "./recorder.ts";
import { recordingOf } from "./recording.ts";
import type { Workload } from "./workload.ts";

const CLUSTER_ID = "test";

/** Of whoever leads. */
const KILLS = 3;

const COMMANDS_BETWEEN = 350;

/** Fills a WAL so that checkpoints fall due, and takes many pages. */
const LARGE_COMMAND_BYTES = 400_000;

/** Less than what is written between two snapshots: the log is cut off after each, on every node, and who was away gets it. */
const FLAGS = ["--catch-up-entries", "50"];

const STATE_BYTES = 300_000;

const LOOK_MS = 5;

/**
 * `size` real nodes from their first start on, under load, with logs that are cut off after snapshots. Again and again
 * the leader is killed, and restarted once the others, if there are any, have gone on without it. The power fails at all
 * nodes at once.
 */
export async function recordNodes(size: number): Promise<Workload> {
  const cluster = await Cluster.create({ size, stopped: true, flags: FLAGS });
  const recorder = new Recorder(cluster.folder);
  try {
    const promises = new Promises(() => recorder.position);
    await Promise.all(cluster.nodes.map((node) => node.start({ wrapper: recorder.wrapper })));
    await load(cluster, recorder, promises);
    await Promise.all(cluster.nodes.map((node) => node.stop()));
    const recording = recordingOf(recorder);
    const ids = cluster.nodes.map(({ id }) => id);
    return {
      recording,
      promised: promises.count("acknowledged"),
      losses: (folder, position) => losses(folder, ids, promises, position),
    };
  } finally {
    await cluster.close();
    recorder.close();
  }
}

async function load(cluster: Cluster, recorder: Recorder, promises: Promises): Promise<void> {
  const watching = new AbortController();
  const watched = watchLeaders(cluster, promises, watching.signal);
  const writers = new Writers(cluster.clients, { unary: 2, streams: 2, history: promises });
  for (let kill = 0; kill < KILLS; kill++) {
    await promises.progress(COMMANDS_BETWEEN);
    await putSnapshot(await cluster.leader(), promises, `${kill}`);
    const victim = await cluster.leader();
    recorder.kill(victim.process.pid);
    await victim.process.exited;
    if (cluster.nodes.length > 1) await promises.progress(COMMANDS_BETWEEN);
    await victim.start({ wrapper: recorder.wrapper });
  }
  await promises.progress(COMMANDS_BETWEEN);
  await writers.stop();
  watching.abort();
  await watched;
}

/** Of a large command, which the leader has applied once it is acknowledged. */
async function putSnapshot(leader: ClusterNode, promises: Promises, name: string): Promise<void> {
  const command = name.padEnd(LARGE_COMMAND_BYTES, "large ");
  promises.sent(command);
  const at = await leader.client.propose(command).catch((error) => ({ why: String(error) }));
  promises.answered(command, "why" in at ? { kind: "unknown", ...at } : { kind: "acknowledged", at });
  if ("why" in at) return;
  await putState(leader.client.address, { ...at, format: "test" }, Buffer.alloc(STATE_BYTES, name));
}

async function watchLeaders(cluster: Cluster, promises: Promises, signal: AbortSignal): Promise<void> {
  const seen = new Set<number>();
  while (!signal.aborted) {
    for (const state of await Promise.all(cluster.nodes.map((node) => node.state()))) {
      if (!state?.isLeader || seen.has(state.term)) continue;
      seen.add(state.term);
      promises.led(state);
    }
    await sleep(LOOK_MS);
  }
}

async function losses(folder: string, ids: readonly string[], promises: Promises, position: number): Promise<string[]> {
  const opened: Opened[] = [];
  const found: string[] = [];
  for (const nodeId of ids) {
    const dataDir = join(folder, nodeId);
    try {
      opened.push(await openWhole({ dataDir, nodeId, clusterId: CLUSTER_ID, bootstrapVoters: ids }));
    } catch (error) {
      found.push(`${nodeId}: ${error}`);
    }
  }
  return found.length > 0 ? found : [...inventions(opened, promises), ...forgotten(opened, promises, position)];
}

/** Commands that nobody proposed. */
function inventions(opened: readonly Opened[], promises: Promises): string[] {
  return opened.flatMap(({ entries }) =>
    entries.flatMap(({ index, type, command }) => {
      const isKnown = type !== EntryType.command || promises.outcomes.has(Buffer.from(command).toString());
      return isKnown ? [] : [`entry ${index} was never proposed`];
    }),
  );
}

/** Entries and votes that are not on a majority's disks any more. Of what was cut off there is a snapshot, which was read. */
function forgotten(opened: readonly Opened[], promises: Promises, position: number): string[] {
  const quorum = Math.floor(opened.length / 2) + 1;
  const isOnQuorum = (has: (node: Opened) => boolean): boolean => opened.filter(has).length >= quorum;
  const entries = promises.acknowledgedBefore(position).filter(({ index, term, command }) => {
    const bytes = Buffer.from(command);
    return !isOnQuorum(({ recovered: { base }, entries }) => {
      if (index <= base.index) return true;
      const entry = entries[index - base.index - 1];
      return entry !== undefined && entry.term === term && bytes.equals(entry.command);
    });
  });
  const votes = promises.leadershipsBefore(position).filter(({ term, id }) => {
    return !isOnQuorum(({ recovered: { hardState } }) => {
      return hardState.currentTerm > term || (hardState.currentTerm === term && hardState.votedFor === id);
    });
  });
  return [
    ...entries.map(({ index, command }) => `entry ${index}, ${command.slice(0, 20)}, was acknowledged and is gone`),
    ...votes.map(({ term, id }) => `the votes for ${id} in term ${term} are gone`),
  ];
}
