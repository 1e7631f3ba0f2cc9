import { ApplyHub } from "../../src/apply/hub.ts";
import { assert } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import { Node } from "../../src/node/node.ts";
import type { NodeOptions } from "../../src/node/options.ts";
import type { Transport } from "../../src/node/transport.ts";
import type { NodeId } from "../../src/raft/types.ts";
import type { DiskUsage } from "../../src/storage/storage.ts";
import { HostClock } from "./clock.ts";
import { Directory, type DiskFaults, HEALTHY_DISK, InjectedDiskError, OpenDirectory } from "./disk.ts";
import { encodeAsFrames } from "./frames.ts";
import type { Link } from "./link.ts";
import { type Observed, observed } from "./properties.ts";
import type { World } from "./world.ts";

const PROGRESS_INTERVAL_MS = 1_000;
const MAX_SUBSCRIBERS = 64;

/** How long a node gets to answer what is pending once it is asked to end. */
const DRAIN_MS = 2_500;

/** How long a node that met a failed disk is still there before its process has ended. */
const EXIT_MS = 1;

/** A machine: a clock, a disk, and the process that runs on it, when one does. */
export class Host {
  readonly id: NodeId;
  /** Position among the hosts. */
  readonly index: number;
  readonly clock: HostClock;
  readonly diskFaults: DiskFaults = { ...HEALTHY_DISK };
  /** On which the cluster's guarantees rest. */
  readonly directory: Directory;
  /** What the next process opens: another one after the directory was emptied. */
  mounted: Directory;
  process: Process | undefined;
  /** Of a thousand sends, writes and answers, how many are the last thing that its process does. */
  crashInTurn = 0;
  readonly #world: World;
  #refusesUntilMs = 0;
  #pausedUntilMs = 0;
  #backlog: (() => void)[] = [];
  #restartAtMs = Number.POSITIVE_INFINITY;

  constructor(world: World, id: NodeId, index: number) {
    this.#world = world;
    this.id = id;
    this.index = index;
    this.clock = new HostClock(world.scheduler, 1_000_000 * (index + 1));
    this.directory = this.newDirectory();
    this.mounted = this.directory;
  }

  /** From now on so much is free on its disk. A process that runs hears of it. */
  setFreeBytes(freeBytes: number): void {
    this.diskFaults.freeBytes = freeBytes;
    this.process?.measureDisk();
  }

  newDirectory(): Directory {
    const incarnation = Uint8Array.from({ length: 16 }, () => this.#world.random.hosts.below(256));
    return new Directory(incarnation, this.#world.ids);
  }

  get isPaused(): boolean {
    return this.#world.scheduler.nowMs < this.#pausedUntilMs;
  }

  /** Whether nobody gets a connection to it: because no process runs, or though one does. */
  get refusesDials(): boolean {
    return this.process === undefined || this.#world.scheduler.nowMs < this.#refusesUntilMs;
  }

  /** Its process loses the connections that others have dialed, and for a while gets no new ones. Its own stay. */
  refuseDials(forMs: number): boolean {
    this.#refusesUntilMs = this.#world.scheduler.nowMs + forMs;
    for (const { links } of this.#world.processes) links.get(this.id)?.break();
    return this.process !== undefined && this.#world.hosts.length > 1;
  }

  acceptDials(): void {
    this.#refusesUntilMs = 0;
  }

  /** Its listeners are open from now on; the node itself is started a little later. */
  start({ startDelayMs = 0 } = {}): void {
    this.#restartAtMs = Number.POSITIVE_INFINITY;
    if (this.process !== undefined) return;
    this.#world.tell("start", this, () => `${this.id} starts`);
    this.process = new Process(this.#world, this);
    this.process.start(startDelayMs);
  }

  /** Its process, if there is one, ends without a word in the middle of whatever it does. It starts again after a while. */
  crash(restartAfterMs: number): boolean {
    const { process } = this;
    if (process !== undefined) {
      this.#world.tell("crash", this, () => `${this.id} crashes`);
      this.process = undefined;
      this.#backlog = [];
      this.#pausedUntilMs = 0;
      process.end();
    }
    this.restartIn(restartAfterMs);
    return process !== undefined;
  }

  restartIn(delayMs: number): void {
    const atMs = this.#world.scheduler.nowMs + delayMs;
    this.#restartAtMs = atMs;
    if (delayMs === Number.POSITIVE_INFINITY) return;
    this.#world.scheduler.at(atMs, () => {
      if (this.#restartAtMs === atMs) this.start();
    });
  }

  /** Its process stands still, as for a long garbage collection; then it goes on with all that has come meanwhile. */
  pause(forMs: number): boolean {
    if (this.process === undefined || this.isPaused) return false;
    this.#world.tell("pause", this, () => `${this.id} stands still for ${forMs.toFixed(0)} ms`);
    this.#pausedUntilMs = this.#world.scheduler.nowMs + forMs;
    const { process } = this;
    this.#world.scheduler.at(this.#pausedUntilMs, () => {
      if (this.process !== process) return;
      for (const task of this.#backlog.splice(0)) process?.run(task);
    });
    return true;
  }

  resume(): void {
    this.#pausedUntilMs = 0;
    const { process } = this;
    for (const task of this.#backlog.splice(0)) process?.run(task);
  }

  postpone(task: () => void): void {
    this.#backlog.push(task);
  }
}

/** One life of a node. After its end it does nothing any more, and nobody hears of it. */
export class Process {
  readonly host: Host;
  readonly node: Node;
  readonly hub: ApplyHub;
  readonly seen: Observed;
  /** What it has dialed. */
  readonly links = new Map<NodeId, Link>();
  readonly #world: World;
  readonly #storage: OpenDirectory;
  readonly #transport: Transport;
  #isAlive = true;
  #hasFailed = false;
  #hasStopped = false;
  readonly #onStopped: (() => void)[] = [];
  readonly #onEnd: (() => void)[] = [];

  constructor(world: World, host: Host) {
    this.#world = world;
    this.host = host;
    const { scheduler, random, counters } = world;
    const run = (task: () => void): void => this.run(task);
    const storage = new OpenDirectory(host.mounted, host.diskFaults, scheduler, random.disk, counters, run, (line) =>
      world.trace.say(world.nowMs, () => `${host.id} ${line()}`),
    );
    this.#storage = storage;
    const clock = host.clock.port(run);
    this.node = new Node(this.#options(), {
      clock: { ...clock, defer: (turn) => clock.defer(() => this.#turn(turn)) },
      random: (bound) => random.nodes.below(bound),
      storage: {
        recovered: storage.recovered,
        write: (write, done) => {
          this.assertGoesOn();
          const { reset } = write;
          if (reset !== undefined) world.guard(() => world.sessions.onSnapshot(reset.snapshot));
          if (this.mayAct()) storage.write(write, done);
        },
        read: (range, done) => storage.read(range, done),
        // A storage that has failed takes these and does nothing.
        saveMember: (member, done) => storage.saveMember(member, done),
        saveSessions: (checkpoint, done) => {
          world.guard(() => world.sessions.onCheckpoint(checkpoint));
          storage.saveSessions(checkpoint, done);
        },
        saveBootstrapped: (done) => storage.saveBootstrapped(done),
        saveSnapshot: (snapshot, dropped, done) => {
          world.guard(() => world.sessions.onSnapshot(snapshot));
          if (this.mayAct()) storage.saveSnapshot(snapshot, dropped, done);
        },
        compact: (base, done) => {
          if (this.mayAct()) storage.compact(base, done);
        },
        set onFailure(onFailure: (error: Error) => void) {
          storage.onFailure = onFailure;
        },
        set onUsage(onUsage: (usage: DiskUsage) => void) {
          storage.onUsage = onUsage;
        },
        close: () => storage.close(),
      },
      onStateEvent: ({ role, term }) => world.tell("state", host, () => `${host.id} is ${role} of term ${term}`),
      onInstall: ({ failure }) => {
        if (failure instanceof Failure) world.counters.add(`installs ${failure.reason}`);
      },
      onRetentionEvent: () => {},
      onDiskEvent: ({ low }) =>
        world.tell("low disk", host, () => `${host.id} has ${low ? "a low disk" : "room again"}`),
      onFatal: (error) => this.#onFatal(error),
    });
    this.seen = observed({
      id: host.id,
      disk: host.mounted.log,
      view: () => this.node.state(),
      termAt: (index) => this.node.termAt(index),
    });
    // Before the hub hears of it: what it delivers is looked at first.
    this.node.onApplied(() => world.guard(() => world.properties.afterTurn(this.seen)));
    this.hub = new ApplyHub({
      log: this.node,
      encode: encodeAsFrames,
      snapshots: world.shelf.source(() => this),
      clock,
      maxSubscribers: MAX_SUBSCRIBERS,
      progressIntervalMs: PROGRESS_INTERVAL_MS,
    });
    this.#transport = world.network.connect(this);
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  measureDisk(): void {
    this.run(() => this.#storage.measure());
  }

  start(delayMs: number): void {
    this.#world.scheduler.in(delayMs, () => this.run(() => this.node.start(this.#transport)));
    this.#world.onStarted(this);
  }

  /** Does something as this process: not at all once it has ended, and later while it stands still. */
  run(task: () => void): void {
    if (!this.#isAlive) return;
    if (this.host.isPaused) this.host.postpone(task);
    else task();
  }

  /** Who met a failed disk writes and sends nothing any more. */
  assertGoesOn(): void {
    this.#world.guard(() => assert(!this.#hasFailed, `${this.host.id} goes on after its disk failed`));
  }

  /** Whether what the process is about to do still happens: it may crash right before. */
  mayAct(): boolean {
    if (!this.#isAlive) return false;
    if (!this.#world.random.nemesis.chance(this.host.crashInTurn / 1_000)) return true;
    this.#world.counters.add("crashes inside a turn");
    this.host.crash(this.#world.random.nemesis.between(1, 1_500));
    return false;
  }

  /** It is asked to end: it answers what is pending, and is gone. Its host starts it again after a while. */
  drain(restartAfterMs: number): boolean {
    if (this.node.draining) return false;
    this.#world.tell("drain", this.host, () => `${this.host.id} is asked to end`);
    const stop = (): void => {
      if (this.#hasStopped) return;
      this.#hasStopped = true;
      this.node.stop();
      if (this.#isAlive) for (const listener of this.#onStopped) listener();
      this.#world.scheduler.in(EXIT_MS, () => {
        if (this.host.process === this) this.host.crash(restartAfterMs);
      });
    };
    this.run(() => this.node.drain(stop));
    this.#world.scheduler.in(DRAIN_MS, () => this.run(stop));
    return true;
  }

  get hasStopped(): boolean {
    return this.#hasStopped;
  }

  /** Calls `listener` when it has ended in order, with an answer to everything. */
  onStopped(listener: () => void): void {
    this.#onStopped.push(listener);
  }

  onEnd(listener: () => void): void {
    this.#onEnd.push(listener);
  }

  /** Without a word. */
  end(): void {
    this.#isAlive = false;
    this.#storage.crash();
    for (const listener of this.#onEnd) listener();
  }

  #turn(turn: () => void): void {
    turn();
    if (!this.#isAlive) return;
    this.#world.afterTurn(this);
  }

  #onFatal(error: unknown): void {
    if (!(error instanceof InjectedDiskError)) {
      this.#world.onViolation(error);
      return;
    }
    if (!this.#isAlive) return;
    this.#world.tell("failed disk", this.host, () => `${this.host.id} can't go on: ${error.message}`);
    this.#hasFailed = true;
    const restartMs = this.#world.random.nemesis.between(100, 2_000);
    this.#world.scheduler.in(EXIT_MS, () => {
      if (this.host.process === this) this.host.crash(restartMs);
    });
  }

  #options(): NodeOptions {
    const { id, mounted } = this.host;
    const { options } = this.#world;
    return {
      ...options.node,
      id,
      clusterId: "simulated",
      initialMembers: mounted.bootstrapVoters.map((member) => ({ id: member, peerAddress: `${member}:7421` })),
      clientAddress: `${id}:7420`,
      peerAddress: `${id}:7421`,
    };
  }
}
