import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import { type EntryId, type NodeState, TestClient } from "./client.ts";
import { Link, type LinkMode } from "./link.ts";
import { freePorts } from "./ports.ts";
import { type LogLine, type ProcessOptions, SidecarProcess } from "./sidecar-process.ts";
import { until } from "./wait.ts";

const PORTS_PER_NODE = 3;

export interface ClusterOptions {
  /** How many nodes: n1, n2 and so on. */
  readonly size: number;
  /** Put a proxy in front of each node for each other, so that links can be cut. */
  readonly proxied?: boolean;
  /** Further flags of `serve`, for all nodes. */
  readonly flags?: readonly string[];
  /** Don't start the nodes yet. */
  readonly stopped?: boolean;
  /** How each process is started. */
  readonly process?: ProcessOptions;
}

/** One node: a process that comes and goes, and what stays of it. */
export class ClusterNode {
  readonly id: string;
  readonly dataDir: string;
  readonly peerAddress: string;
  readonly client: TestClient;
  readonly httpAddress: string;
  /** The flags that every start uses. */
  flags: readonly string[] = [];
  /** What every start is given. */
  options: ProcessOptions = {};
  /** Of earlier processes. */
  readonly #earlierLines: LogLine[] = [];
  #process: SidecarProcess | undefined;

  constructor(id: string, folder: string, port: number) {
    this.id = id;
    this.dataDir = join(folder, id);
    this.client = new TestClient(`127.0.0.1:${port}`);
    this.peerAddress = `127.0.0.1:${port + 1}`;
    this.httpAddress = `127.0.0.1:${port + 2}`;
  }

  /** The process that was started last. */
  get process(): SidecarProcess {
    if (this.#process === undefined) throw new Error(`${this.id} was never started`);
    return this.#process;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !this.#process.ended;
  }

  get lines(): readonly LogLine[] {
    return [...this.#earlierLines, ...(this.#process?.lines ?? [])];
  }

  /** Starts the process without waiting for anything. */
  launch(options: ProcessOptions = {}): SidecarProcess {
    if (this.#process !== undefined) this.#earlierLines.push(...this.#process.lines);
    this.#process = new SidecarProcess(["serve", "--exit-with-parent", ...this.flags], { ...this.options, ...options });
    return this.#process;
  }

  /** Waits until the node answers its client, which may still wait before it dials again. */
  async start(options: ProcessOptions = {}): Promise<void> {
    await this.launch(options).ready();
    await until(
      () => `${this.id} answers: ${this.process.describe()}`,
      async () => (await this.state()) !== undefined,
    );
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.process.signal("SIGKILL");
    await this.process.exited;
  }

  /** SIGTERM. Returns the exit code. */
  async stop(): Promise<number | null> {
    this.process.signal("SIGTERM");
    return this.process.exited;
  }

  /** SIGSTOP and SIGCONT. */
  pause(): void {
    this.process.signal("SIGSTOP");
  }

  resume(): void {
    this.process.signal("SIGCONT");
  }

  /** Undefined when it is down. */
  state(): Promise<NodeState | undefined> {
    return this.client.state();
  }

  /** Proposes until it is committed. Only for commands that may be committed twice. */
  async commit(command: string): Promise<EntryId> {
    return until(
      () => `${this.id} commits ${command}`,
      async () => {
        try {
          return await this.client.propose(command);
        } catch (error) {
          if (error instanceof CallFailure) return undefined;
          throw error;
        }
      },
    );
  }
}

/** Real processes on loopback, each with a folder of its own. */
export class Cluster {
  readonly nodes: readonly ClusterNode[];
  readonly folder: string;
  /** By `from>to`. */
  readonly #links: ReadonlyMap<string, Link>;

  private constructor(nodes: readonly ClusterNode[], folder: string, links: ReadonlyMap<string, Link>) {
    this.nodes = nodes;
    this.folder = folder;
    this.#links = links;
  }

  static async create(options: ClusterOptions): Promise<Cluster> {
    const { size, proxied = false, flags = [], stopped = false } = options;
    const folder = mkdtempSync(join(tmpdir(), "raft-cluster-"));
    const firstPort = await freePorts(size * PORTS_PER_NODE);
    const nodes = Array.from({ length: size }, (_, i) => {
      return new ClusterNode(`n${i + 1}`, folder, firstPort + i * PORTS_PER_NODE);
    });
    const links = proxied ? await proxiesBetween(nodes) : new Map<string, Link>();
    const cluster = new Cluster(nodes, folder, links);
    open.add(cluster);
    for (const node of nodes) {
      node.flags = [...cluster.flagsOf(node), ...flags];
      node.options = options.process ?? {};
    }
    if (!stopped) await Promise.all(nodes.map((node) => node.start()));
    return cluster;
  }

  /** The flags of a node, with `members` in its `--initial-cluster`. */
  flagsOf(node: ClusterNode, members: readonly ClusterNode[] = this.nodes, clusterId = "test"): string[] {
    const list = members.map((member) => `${member.id}=${this.#dialedAddress(node, member)}`);
    return [
      ...["--id", node.id, "--cluster-id", clusterId, "--data-dir", node.dataDir],
      ...["--client-address", node.client.address, "--peer-address", node.peerAddress],
      ...["--http-address", node.httpAddress, "--initial-cluster", list.join(",")],
    ];
  }

  get clients(): TestClient[] {
    return this.nodes.map((node) => node.client);
  }

  node(id: string): ClusterNode {
    const found = this.nodes.find((node) => node.id === id);
    if (found === undefined) throw new Error(`no node ${id}`);
    return found;
  }

  /** All nodes but these. */
  others(...without: readonly ClusterNode[]): ClusterNode[] {
    return this.nodes.filter((node) => !without.includes(node));
  }

  /** Waits until one of `among` leads and all of them agree on it and on the term. */
  async leader(among: readonly ClusterNode[] = this.nodes): Promise<ClusterNode> {
    let states: (NodeState | undefined)[] = [];
    return until(
      () => `one leader among ${among.map((node) => node.id)}: ${JSON.stringify(states)}`,
      async () => {
        states = await Promise.all(among.map((node) => node.state()));
        return agreedLeader(among, states);
      },
    );
  }

  /** Waits until all of `among` have applied `index`. */
  async allApplied(index: number, among: readonly ClusterNode[] = this.nodes): Promise<void> {
    for (const node of among) {
      let applied: number | undefined;
      await until(
        () => `${node.id} applies ${index}, is at ${applied}`,
        async () => {
          applied = (await node.state())?.applied;
          return applied !== undefined && applied >= index;
        },
      );
    }
  }

  /** Both directions between every two of the nodes that aren't on one side. */
  partition(sides: readonly (readonly ClusterNode[])[], mode: LinkMode = "cut"): void {
    for (const from of this.nodes) {
      for (const to of this.others(from)) {
        const together = sides.some((side) => side.includes(from) && side.includes(to));
        this.link(from, to).set(together ? "open" : mode);
      }
    }
  }

  /** Cuts nodes off from everybody; the others stay together. */
  isolate(nodes: readonly ClusterNode[], mode: LinkMode = "cut"): void {
    this.partition([this.others(...nodes)], mode);
  }

  heal(): void {
    this.partition([this.nodes]);
  }

  link(from: ClusterNode, to: ClusterNode): Link {
    const proxy = this.#links.get(`${from.id}>${to.id}`);
    if (proxy === undefined) throw new Error(`no proxy from ${from.id} to ${to.id}`);
    return proxy;
  }

  /** What to look at when a test failed. */
  describe(): string {
    return this.nodes.map((node) => `${node.id}:\n${node.isRunning ? node.process.describe() : "down"}`).join("\n");
  }

  async close(): Promise<void> {
    open.delete(this);
    for (const node of this.nodes) {
      node.client.close();
      if (node.isRunning) await node.kill();
    }
    await Promise.all([...this.#links.values()].map((proxy) => proxy.close()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  #dialedAddress(from: ClusterNode, to: ClusterNode): string {
    return this.#links.get(`${from.id}>${to.id}`)?.address ?? to.peerAddress;
  }
}

const open = new Set<Cluster>();

/** For `afterEach` or `afterAll`: ends all clusters, also those of a test that failed. */
export async function closeClusters(): Promise<void> {
  for (const cluster of [...open]) await cluster.close();
}

function agreedLeader(
  among: readonly ClusterNode[],
  states: readonly (NodeState | undefined)[],
): ClusterNode | undefined {
  const [first] = states;
  if (first === undefined || first.leader === "") return undefined;
  for (const state of states) if (state?.leader !== first.leader || state.term !== first.term) return undefined;
  const at = states.findIndex((state) => state?.isLeader);
  const leader = among[at];
  return leader?.id === first.leader ? leader : undefined;
}

async function proxiesBetween(nodes: readonly ClusterNode[]): Promise<Map<string, Link>> {
  const links = new Map<string, Link>();
  for (const from of nodes) {
    for (const to of nodes) {
      if (from !== to) links.set(`${from.id}>${to.id}`, await Link.listen(to.peerAddress));
    }
  }
  return links;
}
