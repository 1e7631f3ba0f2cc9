import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { between } from "./cluster.ts";
import { checkPlaces } from "./dev-checks.ts";
import { DevCluster } from "./dev-cluster.ts";
import type { DevPlace } from "./dev-node.ts";
import { pidFile } from "./dev-node.ts";
import { ownCommand, shortest } from "./entry-point.ts";
import { CommandError, EXIT } from "./exit.ts";
import { print } from "./output.ts";

interface DevOptions {
  readonly nodes: number;
  readonly basePort: number;
  readonly dataDir: string;
  readonly restart?: true;
}

/** More nodes than these on one machine show nothing new. */
const MAX_NODES = 9;
/** From one node's client port to the next one's. */
const PORT_STEP = 10;

export function devCommand(): Command {
  return new Command("dev")
    .description("Runs a cluster on this machine to try things with: each node a process of its own, on loopback.")
    .option("--nodes <N>", `how many nodes, 1 to ${MAX_NODES}`, between(1, MAX_NODES), 3)
    .option("--base-port <port>", "n1's client port; see below", between(1024, 65_000), 7420)
    .option(
      "--data-dir <DIR>",
      "a folder for each node is made in it; what a former run left is continued",
      "./dev-data",
    )
    .option("--restart", "start a node again a second after it died")
    .addHelpText(
      "after",
      `
Node k (n1 is 0) listens on base + 10k for clients, on the next port for its peers, and on the one after for HTTP. Its
process id is in DIR/nK/pid, its log in DIR/nK/log. A node that is killed stays dead, unless --restart is given.
Ctrl-C ends all nodes cleanly; they also end when this process dies.

Examples:
  raft-sidecar dev
  raft-sidecar dev --nodes 5 --base-port 9000 --data-dir /tmp/five --restart
  kill -9 $(cat dev-data/n1/pid)`,
    )
    .action(runDev);
}

async function runDev(options: DevOptions): Promise<void> {
  const places = placesOf(options);
  await checkPlaces(places);
  const cluster = new DevCluster(places, { restart: options.restart === true });
  let interrupts = 0;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      interrupts++;
      if (interrupts > 1) return cluster.killAll();
      print("ending all nodes");
      void cluster.stop();
    });
  }
  print(`starting ${counted(places.length)}, data in ${shortest(options.dataDir)}`);
  try {
    cluster.start();
    const leader = await cluster.untilReady();
    if (leader !== undefined) printGuide(places, leader, cluster.pidOf(leader), options);
    await cluster.ended;
  } finally {
    await cluster.stop();
  }
  // Lets go of the channels to the nodes' health, should one of them still be open.
  await sleep(0);
}

function placesOf({ nodes, basePort, dataDir }: DevOptions): DevPlace[] {
  if (basePort + PORT_STEP * nodes > 65_535) {
    throw new CommandError(EXIT.usage, `--base-port: ${nodes} nodes need ports up to ${basePort + PORT_STEP * nodes}`);
  }
  return Array.from({ length: nodes }, (_, k) => {
    const port = basePort + PORT_STEP * k;
    const id = `n${k + 1}`;
    return {
      id,
      directory: join(dataDir, id),
      clientAddress: `127.0.0.1:${port}`,
      peerAddress: `127.0.0.1:${port + 1}`,
      httpAddress: `127.0.0.1:${port + 2}`,
    };
  });
}

/** Lines to copy into another terminal. Where there are three nodes, all of them go on when the leader was killed. */
function printGuide(places: readonly DevPlace[], leader: string, pid: number | undefined, options: DevOptions): void {
  const own = ownCommand();
  const leading = places.find((place) => place.id === leader);
  if (leading === undefined) return;
  const [first = leading, other = leading] = places.filter((place) => place !== leading);
  const again = options.restart === true ? "it is started again after a second" : "it stays dead";
  print(`
ready: ${counted(places.length)}, ${leader} leads. In another terminal:

  propose "hello":
    grpcurl -plaintext -d '{"command": "aGVsbG8="}' ${first.clientAddress} raft.v1.LogService/Propose
    ${own} propose hello --address ${first.clientAddress}
  subscribe${other === first ? "" : " on another node"}:
    ${own} subscribe --address ${other.clientAddress}
  see who leads:
    ${own} status --address ${first.clientAddress}
  kill the leader, now ${leader} (${again}):
    kill -9 ${pid ?? ""}    # as in ${shortest(pidFile(leading))}

Ctrl-C ends all nodes.
`);
}

function counted(nodes: number): string {
  return nodes === 1 ? "1 node" : `${nodes} nodes`;
}
