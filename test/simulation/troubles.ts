import { type DiskFaults, HEALTHY_DISK, LIMIT_BYTES } from "./disk.ts";
import type { Host } from "./host.ts";
import type { NetworkFaults } from "./network.ts";
import type { Trouble } from "./plan.ts";
import type { Random } from "./random.ts";
import type { Subscriber } from "./subscriber.ts";
import type { World } from "./world.ts";

/** On what trouble is made. */
export interface Scene {
  readonly world: World;
  /** That of this kind of trouble alone. */
  readonly random: Random;
  /** Some host, whether anything runs on it or not. */
  readonly host: Host;
  readonly subscribers: readonly Subscriber[];
  /** The network as it is when there is no storm. */
  readonly calm: NetworkFaults;
  /** For a while, whoever wins an election is handed to `strike`, at most so long after. */
  readonly strike: (forMs: number, withinMs: number, strike: (leader: Host) => void) => void;
  /** Lets something happen later, unless all is made whole before. */
  readonly later: (delayMs: number, then: () => void) => void;
}

/**
 * How each kind of trouble is made. What it does lasts for a while, or until the network is healed. Returns whether there was
 * anything to do: only then it counts.
 */
export const MAKE: Readonly<Record<Trouble, (scene: Scene) => boolean>> = {
  "isolate a node": ({ world, host }) => isolate(world, host),
  "isolate the leader": ({ world }) => world.leader !== undefined && isolate(world, world.leader.host),
  "split in two": ({ world, random }) => {
    const side = world.hosts.filter(() => random.chance(0.5));
    forPairs(world, (a, b) => {
      if (side.includes(a) !== side.includes(b)) world.network.cut(a, b);
    });
    return side.length > 0 && side.length < world.hosts.length;
  },
  "cut one way": ({ world, random, host }) => {
    const inwards = random.chance(0.5);
    for (const other of world.hosts) {
      if (other === host) continue;
      if (inwards) world.network.cut(other, host);
      else world.network.cut(host, other);
    }
    return world.hosts.length > 1;
  },
  "cut a pair": ({ world, random, host }) => {
    const other = random.pick(world.hosts);
    if (other === host) return false;
    world.network.cut(host, other);
    world.network.cut(other, host);
    return true;
  },
  "cut at random": ({ world, random }) => {
    forPairs(world, (a, b) => {
      if (random.chance(0.3)) world.network.cut(a, b);
    });
    return !world.network.isWhole;
  },
  "heal the network": ({ world }) => {
    const wasCut = !world.network.isWhole;
    world.network.heal();
    return wasCut;
  },
  storm: ({ world, random, calm, later }) => {
    const { faults } = world.network;
    Object.assign(faults, { drop: 0.3, duplicate: 0.3, maxDelayMs: 200, ordered: false });
    later(random.between(200, 2_000), () => Object.assign(faults, calm));
    return true;
  },
  "flap links": ({ world, random, host, later }) => {
    for (let flaps = 0; flaps < 5; flaps++) {
      later(random.between(0, 1_500), () => {
        for (const link of host.process?.links.values() ?? []) link.break();
        for (const other of world.hosts) other.process?.links.get(host.id)?.break();
      });
    }
    return world.hosts.length > 1;
  },
  // As from a process that has ended, though it lives, and leads.
  "refuse connections": ({ world, random, host }) => {
    const refusing = random.chance(0.5) ? host : (world.leader?.host ?? host);
    return refusing.refuseDials(random.between(50, 2_000));
  },
  // What it has appended is then on few disks, or on its own alone (Figure 8).
  "strike new leaders": ({ world, random, strike }) => {
    strike(random.between(1_000, 8_000), random.pick([1, 10, 50]), (leader) => {
      if (random.chance(0.5)) {
        leader.crash(random.between(20, 1_000));
        return;
      }
      isolate(world, leader);
      world.scheduler.in(random.between(500, 2_000), () => world.network.rejoin(leader));
    });
    return true;
  },
  "crash a node": ({ random, host }) => host.crash(downMs(random)),
  "crash the leader": ({ world, random }) => world.leader?.host.crash(downMs(random)) === true,
  "crash a majority": ({ world, random, host }) => {
    const majority = Math.floor(world.hosts.length / 2) + 1;
    const crashed = Array.from({ length: majority }, (_, i) =>
      world.hosts[(host.index + i) % world.hosts.length]?.crash(downMs(random)),
    );
    return crashed.includes(true);
  },
  "crash all": ({ world, random }) => world.hosts.map((host) => host.crash(downMs(random))).includes(true),
  "crash in a turn": ({ random, host, later }) => {
    host.crashInTurn = 20;
    later(random.between(100, 2_000), () => {
      host.crashInTurn = 0;
    });
    return host.process !== undefined;
  },
  "drain and restart": ({ random, host }) => host.process?.drain(downMs(random)) === true,
  "pause a node": ({ random, host }) => host.pause(random.between(50, 3_000)),
  "pause the leader": ({ world, random }) => world.leader?.host.pause(random.between(50, 3_000)) === true,
  // As when a machine is moved: what it was sent waits for it, and it hears of nothing that came later.
  "pause and cut off the leader": ({ world, random }) => {
    if (world.leader === undefined) return false;
    isolate(world, world.leader.host);
    return world.leader.host.pause(random.between(500, 3_000));
  },
  "change a clock's rate": ({ random, host }) => host.clock.setRate(random.pick([0.5, 0.8, 0.95, 1, 1.05, 1.5, 3])),
  "jump a clock": ({ random, host }) => host.clock.jump(random.pick([50, 500, 5_000, 3_600_000])),
  "slow a disk": ({ random, host, later }) => {
    const maxWriteMs = random.pick([5, 50, 300]);
    return forAWhile(later, random, host, { minWriteMs: maxWriteMs / 4, maxWriteMs });
  },
  "hang a disk": ({ world, random, host }) => {
    host.diskFaults.hungUntilMs = world.nowMs + random.between(300, 5_000);
    return host.process !== undefined;
  },
  "report writes late": ({ random, host, later }) => forAWhile(later, random, host, { late: 0.3, maxLateMs: 500 }),
  "fail a sync": ({ host }) => {
    host.diskFaults.failNext = true;
    return host.process !== undefined;
  },
  "fail a read": ({ host }) => {
    host.diskFaults.failNextRead = true;
    return host.process !== undefined;
  },
  "fill a disk": ({ world, random, host }) => {
    host.diskFaults.fullUntilMs = world.nowMs + random.between(500, 5_000);
    return host.process !== undefined;
  },
  // It stays so over restarts, as a disk does.
  "nearly fill a disk": ({ world, random, host, later }) => {
    const full = random.chance(0.5) ? host : (world.leader?.host ?? host);
    full.setFreeBytes(random.below(LIMIT_BYTES));
    later(random.between(500, 5_000), () => full.setFreeBytes(HEALTHY_DISK.freeBytes));
    return full.process !== undefined;
  },
  "empty a directory": ({ world, random, host }) => {
    const emptied = world.hosts.filter(({ directory, mounted }) => directory !== mounted).length;
    // Promised is what a majority of the directories holds; and who has not been met yet, nobody can miss.
    if (!host.directory.bootstrapped || 2 * (emptied + 1) >= world.hosts.length) return false;
    host.crash(downMs(random));
    host.mounted = host.newDirectory();
    return true;
  },
  "stall a subscriber": ({ random, subscribers, later }) => {
    if (subscribers.length === 0) return false;
    const subscriber = random.pick(subscribers);
    subscriber.stall();
    later(random.between(100, 5_000), () => subscriber.release());
    return true;
  },
  "move a subscriber": ({ random, host, subscribers }) =>
    subscribers.length > 0 && random.pick(subscribers).subscribe(host),
};

function isolate(world: World, host: Host): boolean {
  for (const other of world.hosts) {
    if (other === host) continue;
    world.network.cut(host, other);
    world.network.cut(other, host);
  }
  return world.hosts.length > 1;
}

function forPairs(world: World, visit: (a: Host, b: Host) => void): void {
  for (const a of world.hosts) for (const b of world.hosts) if (a !== b) visit(a, b);
}

/** Most come back soon, some late. */
function downMs(random: Random): number {
  return random.chance(0.7) ? random.between(1, 1_000) : random.between(1_000, 8_000);
}

function forAWhile(later: Scene["later"], random: Random, host: Host, faults: Partial<DiskFaults>): boolean {
  Object.assign(host.diskFaults, faults);
  later(random.between(200, 3_000), () => {
    const { minWriteMs, maxWriteMs, late, maxLateMs } = HEALTHY_DISK;
    Object.assign(host.diskFaults, { minWriteMs, maxWriteMs, late, maxLateMs });
  });
  return host.process !== undefined;
}
