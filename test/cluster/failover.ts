import { Cluster, closeClusters } from "../support/cluster.ts";
import { sleep, until } from "../support/wait.ts";

/**
 * How long writes stop when the leader's process is killed: `node test/cluster/failover.ts [rounds]`. Three writers, each of
 * which goes on at the next node after a failure; the time is from the last acknowledgement to the first one after it.
 */
const ROUNDS = Number(process.argv[2] ?? 20);

/** How long a round is looked at after the kill, and how long all is well before the next one. */
const WATCHED_MS = 2_500;
const CALM_MS = 500;
const ATTEMPT_MS = 5_000;

const acknowledgedMs: number[] = [];
let isOver = false;

async function write(cluster: Cluster, writer: number): Promise<void> {
  const { clients } = cluster;
  let at = writer;
  for (let sequence = 1; !isOver; sequence++) {
    const id = { clientId: `writer ${writer}`, sequence };
    for (let isDone = false; !isDone && !isOver; ) {
      isDone = await (clients[at % clients.length]?.proposeAs(id, "x", ATTEMPT_MS) ?? Promise.reject()).then(
        () => true,
        () => false,
      );
      if (isDone) acknowledgedMs.push(performance.now());
      else {
        at++;
        await sleep(1);
      }
    }
  }
}

/** The longest time without an acknowledgement from just before the kill on. */
function longestGap(killedMs: number): number {
  const before = acknowledgedMs.filter((ms) => ms <= killedMs).at(-1) ?? killedMs;
  const since = [before, ...acknowledgedMs.filter((ms) => ms > killedMs), performance.now()];
  return Math.max(...since.slice(1).map((ms, i) => ms - (since[i] ?? ms)));
}

const cluster = await Cluster.create({ size: 3 });
await cluster.leader();
const writers = [0, 1, 2].map((writer) => write(cluster, writer));
const gaps: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  await sleep(CALM_MS);
  const leader = await cluster.leader();
  acknowledgedMs.splice(0, acknowledgedMs.length - 100);
  const killedMs = performance.now();
  await leader.kill();
  await sleep(WATCHED_MS);
  const gap = longestGap(killedMs);
  gaps.push(gap);
  process.stdout.write(`round ${round + 1}: ${leader.id} killed, ${gap.toFixed(0)} ms without an acknowledgement\n`);
  await leader.start();
  const { applied } = (await (await cluster.leader()).state()) ?? { applied: 0 };
  await until("the killed node has caught up", async () => ((await leader.state())?.applied ?? 0) >= applied);
}
isOver = true;
await Promise.all(writers);
await closeClusters();
gaps.sort((a, b) => a - b);
const at = (share: number): string => (gaps[Math.ceil(share * (gaps.length - 1))] ?? 0).toFixed(0);
process.stdout.write(`min ${at(0)}, median ${at(0.5)}, p90 ${at(0.9)}, max ${at(1)} ms\n`);
