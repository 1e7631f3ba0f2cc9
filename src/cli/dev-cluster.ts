import { setTimeout as sleep } from "node:timers/promises";
import type { LogLine } from "./dev-log.ts";
import { type DevExit, DevNode, type DevPlace, logFile } from "./dev-node.ts";
import { shortest } from "./entry-point.ts";
import { CommandError, EXIT } from "./exit.ts";
import { print } from "./output.ts";
import { clusterStatus } from "./status.ts";

const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 100;
const RESTART_DELAY_MS = 1_000;
/** From which severity on a line of a node's log is shown (pino's warn). */
const SHOWN_LEVEL = 40;

/** The nodes of one `dev`, started and ended together. */
export class DevCluster {
  /** Resolves when `stop` is called; rejects when a node fails before the cluster is ready. */
  readonly ended: Promise<void>;
  readonly #nodes: readonly DevNode[];
  readonly #restart: boolean;
  readonly #end: () => void;
  readonly #fail: (error: CommandError) => void;
  #follow: NodeJS.Timeout | undefined;
  #ready = false;
  #stopping: Promise<void> | undefined;

  /** Starts nothing yet. Throws a StorageError when a node's directory can't be made. */
  constructor(places: readonly DevPlace[], options: { restart: boolean }) {
    const initialCluster = places.map((place) => `${place.id}=${place.peerAddress}`).join(",");
    this.#nodes = places.map((place) => new DevNode(place, initialCluster));
    this.#restart = options.restart;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
    this.#fail = reject;
    // Whoever waits gets the failure; until somebody does it must not count as unhandled.
    promise.catch(() => {});
  }

  start(): void {
    for (const node of this.#nodes) this.#startNode(node);
    // Also keeps this process alive while no node runs.
    this.#follow = setInterval(() => this.#showLogs(), POLL_MS);
  }

  /** The leader's id, once every node takes part; undefined when `stop` was called first. */
  async untilReady(): Promise<string | undefined> {
    const deadlineMs = performance.now() + READY_TIMEOUT_MS;
    const addresses = this.#nodes.map((node) => node.place.clientAddress);
    for (;;) {
      const rows = await Promise.race([clusterStatus(addresses), this.ended.then(() => [])]);
      if (this.#stopping !== undefined) return undefined;
      const up = rows.flatMap((row) => ("error" in row || !row.ready ? [] : [row]));
      const leader = up[0]?.leader ?? "";
      if (up.length === addresses.length && leader !== "" && up.every((row) => row.leader === leader)) {
        this.#ready = true;
        return leader;
      }
      if (performance.now() > deadlineMs) {
        const missing = rows.map((row) => `${row.id}: ${"error" in row ? row.error : row.notReadyReason}`);
        throw new CommandError(EXIT.failed, `not ready after 30 s: ${missing.join("; ")}`, logAdvice(...this.#nodes));
      }
      await sleep(POLL_MS);
    }
  }

  pidOf(id: string): number | undefined {
    return this.#nodes.find((node) => node.place.id === id)?.pid;
  }

  /** Ends every node; again while it is under way changes nothing. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  killAll(): void {
    for (const node of this.#nodes) node.kill();
  }

  async #stopAll(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()));
    clearInterval(this.#follow);
    this.#showLogs();
    this.#end();
  }

  #startNode(node: DevNode): void {
    if (this.#stopping !== undefined) return;
    node.start((exit) => this.#onExit(node, exit));
  }

  #onExit(node: DevNode, { code, signal }: DevExit): void {
    const { id } = node.place;
    this.#showLogs();
    const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
    if (this.#stopping !== undefined) return this.#say(id, how);
    if (!this.#ready) {
      return this.#fail(new CommandError(EXIT.failed, `${id} ${how} before the cluster was ready`, logAdvice(node)));
    }
    if (!this.#restart) return this.#say(id, `${how}; it stays dead (dev --restart would start it again)`);
    this.#say(id, `${how}; it is started again`);
    setTimeout(() => this.#startNode(node), RESTART_DELAY_MS);
  }

  #showLogs(): void {
    for (const node of this.#nodes) {
      for (const line of node.log.read()) {
        const text = shortLine(line);
        if (text !== undefined) this.#say(node.place.id, text);
      }
    }
  }

  #say(id: string, text: string): void {
    print(`${id.padEnd(3)} ${text}`);
  }
}

function logAdvice(...nodes: readonly DevNode[]): string {
  return `More is in ${nodes.map((node) => shortest(logFile(node.place))).join(", ")}`;
}

/** What the console shows of a line of a node's log; undefined for what stays in the file. */
function shortLine({ event, level, role, term, leader }: LogLine): string | undefined {
  if (event !== "role") return level >= SHOWN_LEVEL ? event : undefined;
  if (role === "leader") return `leads in term ${term}`;
  if (role === "follower" && leader !== "") return `follows ${leader} in term ${term}`;
  return role === "follower" ? `has no leader in term ${term}` : `is ${role} in term ${term}`;
}
