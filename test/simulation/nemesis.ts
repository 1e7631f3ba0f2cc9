import { HEALTHY_DISK } from "./disk.ts";
import type { Host } from "./host.ts";
import { HEALTHY_NETWORK, type NetworkFaults } from "./network.ts";
import type { Trouble } from "./plan.ts";
import { Random } from "./random.ts";
import type { Subscriber } from "./subscriber.ts";
import { MAKE, type Scene } from "./troubles.ts";
import type { World } from "./world.ts";

/** Makes trouble, each kind on its own and at random times, until it is told to make all whole again. */
export class Nemesis {
  readonly #world: World;
  readonly #calm: NetworkFaults;
  readonly #subscribers: readonly Subscriber[];
  #strikes: { readonly untilMs: number; readonly strike: (leader: Host) => void } | undefined;
  #isOver = false;

  constructor(world: World, troubles: ReadonlyMap<Trouble, number>, subscribers: readonly Subscriber[]) {
    this.#world = world;
    this.#calm = { ...world.network.faults };
    this.#subscribers = subscribers;
    world.onElection(({ host }) => {
      if (this.#strikes === undefined || world.nowMs > this.#strikes.untilMs) return;
      world.counters.add("new leaders struck");
      this.#strikes.strike(host);
    });
    for (const [trouble, meanMs] of troubles) {
      this.#repeat(trouble, meanMs, Random.of(world.options.seed, trouble));
    }
  }

  /** Makes one trouble now. */
  make(trouble: Trouble, random: Random): void {
    const host = random.pick(this.#world.hosts);
    const later: Scene["later"] = (delayMs, then) => {
      this.#world.scheduler.in(delayMs, () => {
        if (!this.#isOver) then();
      });
    };
    const strike: Scene["strike"] = (forMs, withinMs, onLeader) => {
      this.#strikes = {
        untilMs: this.#world.nowMs + forMs,
        strike: (leader) => later(random.between(0, withinMs), () => onLeader(leader)),
      };
    };
    const [calm, subscribers] = [this.#calm, this.#subscribers];
    const scene: Scene = { world: this.#world, random, host, subscribers, calm, strike, later };
    this.#world.trace.say(this.#world.nowMs, () => `--- ${trouble} (${host.id}, if it is about one)`);
    if (MAKE[trouble](scene)) this.#world.tell(`trouble: ${trouble}`, host, () => "--- that it did");
  }

  /** Everything runs, answers and is connected again. */
  heal(): void {
    this.#isOver = true;
    const { network, hosts, nowMs } = this.#world;
    network.heal();
    Object.assign(network.faults, HEALTHY_NETWORK);
    for (const host of hosts) {
      Object.assign(host.diskFaults, HEALTHY_DISK, { hungUntilMs: nowMs });
      host.setFreeBytes(HEALTHY_DISK.freeBytes);
      host.crashInTurn = 0;
      host.clock.setRate(1);
      host.acceptDials();
      host.resume();
      const isWell = host.mounted === host.directory && host.process?.node.draining === false;
      host.mounted = host.directory;
      if (isWell) host.start();
      else host.crash(0);
    }
    for (const subscriber of this.#subscribers) subscriber.release();
  }

  #repeat(trouble: Trouble, meanMs: number, random: Random): void {
    this.#world.scheduler.in(random.interval(meanMs), () => {
      if (this.#isOver) return;
      this.make(trouble, random);
      this.#repeat(trouble, meanMs, random);
    });
  }
}
