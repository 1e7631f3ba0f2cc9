import type { SnapshotSource } from "../../src/apply/snapshot-source.ts";
import { assert } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import type { ArrivedSnapshot } from "../../src/node/snapshots.ts";
import type { FetchedSnapshot } from "../../src/node/transport.ts";
import type { EntryId } from "../../src/raft/types.ts";
import type { Process } from "./host.ts";
import type { World } from "./world.ts";

/** How the services encode their states. */
export const FORMAT = "kv";

/** A state takes as many chunks as it has bytes here. */
const CHUNKS = 2;

/** For how long a member's snapshot is asked for again when it could not be had. */
const FETCH_MS = 3_000;
const FETCH_AGAIN_MS = 250;

/** What came to a host and may be thrown away there again. */
type Arrived = ArrivedSnapshot & Pick<FetchedSnapshot, "discard">;

/** The contents of all snapshots, by what stands for their checksums; and the ways that their bytes take. */
export class Shelf {
  readonly #world: World;
  readonly #contents: ReadonlyMap<string, string>[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  /** What an application puts: its state as of an entry. */
  put(process: Process, last: EntryId, values: ReadonlyMap<string, string>): Arrived {
    const sha256 = new Uint8Array(32);
    new DataView(sha256.buffer).setUint32(0, this.#contents.push(new Map(values)) - 1);
    const file = { last, format: FORMAT, size: CHUNKS, sha256 };
    return { ...file, ownState: undefined, ...this.#place(process, last) };
  }

  contents(sha256: Uint8Array): ReadonlyMap<string, string> {
    const contents = this.#contents[new DataView(sha256.buffer).getUint32(0)];
    assert(contents !== undefined, "a snapshot that somebody put");
    return contents;
  }

  /** The snapshots of a process, for its subscribers. */
  source(process: () => Process): SnapshotSource {
    const later = (then: () => void): void => {
      const reader = process();
      this.#world.scheduler.in(this.#world.random.disk.between(0, 1), () => reader.run(then));
    };
    return {
      find: (formats, minIndex) => process().node.snapshots.find(formats, minIndex),
      open: ({ last }, done) => {
        const snapshot = process().node.snapshots.get(last);
        if (snapshot === undefined) return later(() => done(new Failure("NO_SNAPSHOT", "it is gone")));
        const unpin = process().node.snapshots.pin(snapshot);
        let left = CHUNKS;
        const read = (then: (chunk: Uint8Array) => void): void =>
          later(() => then(left-- > 0 ? new Uint8Array(1) : new Uint8Array(0)));
        later(() => done({ read, close: unpin }));
      },
    };
  }

  /** Brings a snapshot of another host to a process: it takes a while, and begins anew as long as nobody answers. */
  fetch(process: Process, from: string, last: EntryId, done: (result: FetchedSnapshot | Error) => void): void {
    const { scheduler, random, network, counters } = this.#world;
    const untilMs = scheduler.nowMs + FETCH_MS;
    const source = this.#world.host(from);
    const attempt = (): void => {
      const sender = source.process;
      const isCut = network.isCut(process.host, source) || network.isCut(source, process.host);
      if (sender === undefined || source.isPaused || isCut) {
        if (scheduler.nowMs < untilMs) return void scheduler.in(FETCH_AGAIN_MS, attempt);
        return process.run(() => done(new Error("nobody answers")));
      }
      const snapshot = sender.node.snapshots.get(last);
      if (snapshot === undefined) return process.run(() => done(new Failure("NO_SNAPSHOT", "it is gone")));
      const unpin = sender.node.snapshots.pin(snapshot);
      scheduler.in(random.network.pick([1, 20, 500, 1_500]), () => {
        sender.run(unpin);
        const isBroken = !sender.isAlive || network.isCut(source, process.host);
        if (isBroken || random.network.chance(0.2)) {
          counters.add("snapshots broken off");
          return attempt();
        }
        counters.add("snapshots fetched");
        process.run(() => done({ ...snapshot, ...this.#place(process, last) }));
      });
    };
    scheduler.in(random.network.between(0, 5), attempt);
  }

  /** Until it is kept it is in a file of its own. */
  #place(process: Process, last: EntryId): Pick<Arrived, "keep" | "discard"> {
    const { mounted } = process.host;
    let isKept = false;
    return {
      keep: (done) =>
        this.#keep(process, (failure) => {
          isKept = failure === undefined;
          if (isKept) mounted.keepFile(last);
          done(failure);
        }),
      discard: () => {
        if (isKept) mounted.removeFile(last);
      },
    };
  }

  /** Its file becomes durable. */
  #keep(process: Process, done: (failure: Error | undefined) => void): void {
    const { scheduler, random } = this.#world;
    const readyMs = Math.max(scheduler.nowMs, process.host.diskFaults.hungUntilMs) + random.disk.between(0.1, 5);
    scheduler.at(readyMs, () => {
      const isFull = scheduler.nowMs < process.host.diskFaults.fullUntilMs;
      const failure = isFull ? new Failure("DISK_LOW", "no space is left") : undefined;
      process.run(() => {
        if (process.mayAct()) done(failure);
      });
    });
  }
}
