import { decodeEntries } from "../../src/frame/codec.ts";
import type { Frame } from "../../src/raft/types.ts";
import type { Host } from "../simulation/host.ts";
import { Subscriber } from "../simulation/subscriber.ts";
import type { World } from "../simulation/world.ts";

/**
 * One service beside each node, which applies what the node's hub delivers. It keeps nothing: it ends with its node, and
 * is told everything again. That what is told is the same each time, to everybody, is what Subscriber asserts.
 */
export class Services {
  readonly #world: World;
  readonly #subscribers = new Map<Host, Subscriber>();
  /** What any service has ever applied. */
  readonly #commands = new Map<number, string>();
  readonly #indexes = new Map<string, number[]>();

  constructor(world: World) {
    this.#world = world;
    world.onStart(({ host }) => this.#onStart(host));
  }

  /** Where `command` was applied: more than once when it was proposed again. */
  indexesOf(command: string): readonly number[] {
    return this.#indexes.get(command) ?? [];
  }

  /** All commands, in the order of the log. */
  get log(): readonly string[] {
    return [...this.#commands].sort(([a], [b]) => a - b).map(([, command]) => command);
  }

  /** How many services have applied the entry at `index`. */
  count(index: number): number {
    return this.#world.hosts.filter((host) => this.positionOf(host) >= index).length;
  }

  /** The first index at which at least `services` have applied `command`. */
  agreedOn(command: string, services: number): number | undefined {
    return this.indexesOf(command).find((index) => this.count(index) >= services);
  }

  /** To where the service beside `host` has applied the log; 0 when none runs. */
  positionOf(host: Host): number {
    const subscriber = this.#subscribers.get(host);
    return subscriber?.process === undefined ? 0 : subscriber.position;
  }

  #onStart(host: Host): void {
    const subscriber = new Subscriber(this.#world, `the service of ${host.id}`, (index, entry) => {
      this.#onCommand(index, entry);
    });
    this.#subscribers.set(host, subscriber);
    subscriber.subscribe(host);
  }

  #onCommand(index: number, entry: Frame): void {
    if (this.#commands.has(index)) return;
    const command = Buffer.from(decodeEntries(entry.bytes)[0]?.command ?? []).toString();
    this.#commands.set(index, command);
    this.#indexes.set(command, [...this.indexesOf(command), index]);
  }
}
