import { expect, it } from "vitest";
import { encodeFrame } from "../../src/frame/codec.ts";
import type { Message } from "../../src/raft/message.ts";
import { Raft, type RaftOptions } from "../../src/raft/raft.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { coreOptions, diskWith, seededRandom } from "../support/core.ts";

/** Cores whose links deliver so many bytes a tick in the order of sending, and whose disks take a tick. */
class SlowLinks {
  readonly cores: readonly Raft[];
  readonly #bytesPerTick: number;
  readonly #queues = new Map<string, { readonly message: Message; left: number }[]>();
  #writes: { readonly core: Raft; readonly turn: number }[] = [];

  constructor(ids: readonly NodeId[], bytesPerTick: number, overrides: Partial<RaftOptions>) {
    this.#bytesPerTick = bytesPerTick;
    const random = seededRandom(7);
    this.cores = ids.map((id) => new Raft({ ...coreOptions({ ...overrides, id, random }), encodeFrame }, diskWith([])));
  }

  get leader(): Raft | undefined {
    return this.cores.find((core) => core.role.kind === "leader");
  }

  tick(): void {
    for (const { core, turn } of this.#writes.splice(0)) core.step({ kind: "persisted", turn });
    for (const core of this.cores) core.step({ kind: "tick" });
    for (const queue of this.#queues.values()) this.#deliver(queue);
    for (const core of this.cores) this.#turn(core);
  }

  #deliver(queue: { readonly message: Message; left: number }[]): void {
    let budget = this.#bytesPerTick;
    for (let head = queue[0]; head !== undefined && budget > 0; head = queue[0]) {
      const sent = Math.min(budget, head.left);
      head.left -= sent;
      budget -= sent;
      if (head.left > 0) return;
      queue.shift();
      const { message } = head;
      this.cores.find(({ id }) => id === message.to)?.step({ kind: "message", message });
    }
  }

  #turn(core: Raft): void {
    const { write, messages } = core.takeReady();
    if (write !== undefined) this.#writes.push({ core, turn: write.turn });
    for (const message of messages) {
      const link = `${message.from}>${message.to}`;
      const queue = this.#queues.get(link) ?? [];
      this.#queues.set(link, queue);
      queue.push({ message, left: bytesOf(message) });
    }
  }
}

function bytesOf(message: Message): number {
  if (message.kind !== "appendEntries") return 80;
  return message.frames.reduce((sum, frame) => sum + frame.bytes.length, 80);
}

it("keeps a leader whose answers are old, because its pipeline takes longer than an election timeout to send", () => {
  const command = 1_000;
  // A full window takes 20 ticks, twice the shortest election timeout; a request on its own takes 2.
  const links = new SlowLinks(["a", "b", "c"], 1_000, {
    maxAppendBytes: 2_000,
    maxInFlight: 100,
    maxInFlightBytes: 20_000,
  });
  while (links.leader === undefined) links.tick();
  const { leader } = links;
  const term = leader?.currentTerm;
  for (let ticks = 0; ticks < 2_000; ticks++) {
    const uncommitted = (leader?.log.lastIndex ?? 0) - (leader?.commitIndex ?? 0);
    if (uncommitted < 60) leader?.step({ kind: "propose", commands: [new Uint8Array(command)] });
    links.tick();
  }
  expect(links.leader).toBe(leader);
  expect(leader?.currentTerm).toBe(term);
  expect(leader?.commitIndex).toBeGreaterThan(1_600);
});
