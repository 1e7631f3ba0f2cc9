import { assert, unreachable } from "../../src/assert.ts";
import type { Fetch } from "../../src/raft/input.ts";
import type { Message } from "../../src/raft/message.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { TurnWrite } from "../../src/raft/ready.ts";
import type { LogDisk } from "../simulation/log-disk.ts";
import { votersOnly } from "../support/core.ts";
import { type Bodies, encodeSingle, LOG_ID, proposal } from "./bodies.ts";
import type { Bounds } from "./bounds.ts";
import type { LocalInput } from "./local-input.ts";
import { assertSends, assertTurn, snapshotOf } from "./local-properties.ts";
import type { World } from "./world.ts";

/** A message that waits in the core for a turn, which the core itself tells nobody about. */
export interface Held {
  readonly message: Message;
  readonly afterTurn: number;
}

/** The real core; it only tells what it holds back. */
class WatchedRaft extends Raft {
  readonly held: Held[] = [];

  override send(message: Message): void {
    this.held.push({ message, afterTurn: this.durability.hardStateTurn });
    super.send(message);
  }
}

/** Turns on their way to the disk, oldest first. */
interface Writing {
  readonly write: TurnWrite;
  readonly startedTicks: number;
}

export interface Sent {
  readonly to: "b" | "c";
  readonly body: number;
}

/** One node: the real core, its disk, and what stands between the two. A turn is taken after every input. */
export class LocalNode {
  readonly raft: WatchedRaft;
  readonly disk: LogDisk;
  readonly writing: Writing[] = [];
  readonly fetches: Fetch[] = [];
  /** Reported and not durable, on a disk that lies. */
  late: TurnWrite | undefined;
  lastTurn = 0;
  /**
   * The sequences of this leader's requests to each member. The core counts one sequence for all members, so the numbers
   * depend on the order in which it goes through them, and nothing else does. On the model's wire a request has the number
   * that it has among those to the same member: with that, members can change places.
   */
  readonly sequences = { b: [] as number[], c: [] as number[] };
  #reign = 0;
  readonly #bodies: Bodies;
  readonly #world: World;

  constructor(disk: LogDisk, bounds: Bounds, bodies: Bodies, world: World) {
    this.#bodies = bodies;
    this.#world = world;
    this.disk = disk;
    this.raft = new WatchedRaft(
      {
        id: "a",
        configuration: votersOnly("a", "b", "c"),
        random: (bound) => bound - 1,
        encodeFrame: encodeSingle,
        newLogId: LOG_ID,
        electionTimeoutMinTicks: bounds.electionTimeoutMinTicks,
        electionTimeoutMaxTicks: bounds.electionTimeoutMaxTicks,
        heartbeatTicks: 1,
        maxAppendBytes: 4096,
        maxInFlight: 8,
        maxInFlightBytes: 65_536,
        cacheBytes: 1_000_000,
      },
      disk.recovered(),
    );
  }

  perform(input: Exclude<LocalInput, { kind: "crash" }>): Sent[] {
    const before = snapshotOf(this);
    this.#step(input);
    const ready = this.raft.takeReady();
    if (ready.write !== undefined) {
      this.lastTurn = ready.write.turn;
      this.writing.push({ write: ready.write, startedTicks: this.raft.nowTicks });
    }
    this.fetches.push(...ready.fetches);
    const held = this.raft.held.splice(0, ready.messages.length);
    assert(
      ready.messages.every((message, i) => held[i]?.message === message),
      "messages leave in the order in which they were sent",
    );
    if (this.#world.checksDisks) {
      assertTurn(this, before);
      assertSends(this, ready.messages);
    }
    return ready.messages.map((message) => this.#sent(message));
  }

  /** What is left after a crash, by which `durableTurns` of the turns in progress had become durable. */
  diskAfterCrash(durableTurns: number): LogDisk {
    for (const { write } of this.writing.splice(0, durableTurns)) this.#write(write);
    return this.#world.afterCrash(this.disk);
  }

  /** Follows a leader that it has heard within the shortest election timeout. */
  get hasLease(): boolean {
    const { role, nowTicks, options } = this.raft;
    if (role.kind !== "follower" || role.leader === "") return false;
    return nowTicks - role.heardTicks < options.electionTimeoutMinTicks;
  }

  #step(input: Exclude<LocalInput, { kind: "crash" }>): void {
    switch (input.kind) {
      case "tick":
        return this.#tick();
      case "propose":
        return this.raft.step({ kind: "propose", commands: [proposal()] });
      case "persist": {
        const write = this.writing.shift()?.write;
        assert(write !== undefined, "a turn is in progress");
        this.#write(write);
        return this.raft.step({ kind: "persisted", turn: write.turn });
      }
      case "fetched": {
        const fetch = this.fetches.shift();
        assert(fetch !== undefined, "a fetch is in progress");
        const frames = this.disk.read(fetch.first, fetch.last, fetch.maxBytes) ?? [];
        return this.raft.step({ kind: "fetched", fetch, frames });
      }
      case "message":
        while (input.isLate && this.hasLease) this.raft.step({ kind: "tick" });
        return this.raft.step({ kind: "message", message: this.#received(input.body, input.from) });
      default:
        return unreachable(input);
    }
  }

  #tick(): void {
    const { raft } = this;
    const ticks = raft.role.kind === "leader" ? 1 : raft.electionAtTicks - raft.nowTicks;
    for (let i = 0; i < ticks; i++) raft.step({ kind: "tick" });
  }

  #write(write: TurnWrite): void {
    if (!this.#world.reportsEarly) return this.disk.apply(write);
    if (this.late !== undefined) this.disk.apply(this.late);
    this.late = write;
  }

  #sent(sent: Message): Sent {
    const message = this.#world.onTheWay(sent);
    const { to } = message;
    assert(to === "b" || to === "c", `a message to ${to}`);
    if (message.kind !== "appendEntries") return { to, body: this.#bodies.numberOf(message) };
    if (this.raft.currentTerm !== this.#reign) {
      this.#reign = this.raft.currentTerm;
      this.sequences.b = [];
      this.sequences.c = [];
    }
    this.sequences[to].push(message.sequence);
    return { to, body: this.#bodies.numberOf({ ...message, sequence: this.sequences[to].length }) };
  }

  #received(body: number, from: "b" | "c"): Message {
    const message = this.#bodies.message(body, from);
    if (message.kind !== "appendEntriesResponse" || message.sequence === 0) return message;
    // A node that doesn't lead the answer's term doesn't look at the sequence.
    if (this.raft.role.kind !== "leader" || message.term !== this.#reign) return message;
    const sequence = this.sequences[from][message.sequence - 1];
    assert(sequence !== undefined, `${from} answers request ${message.sequence}, which was never sent`);
    return { ...message, sequence };
  }
}
