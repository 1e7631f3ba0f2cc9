import { setTimeout as sleep } from "node:timers/promises";
import type { SidecarClient } from "../grpc/client.ts";
import type { NodeView } from "../grpc/views.ts";
import { type Lane, type LaneEvents, movesOn } from "./bench-lane.ts";
import type { Answer, Outlet } from "./bench-load.ts";
import { connect } from "./cluster.ts";
import { CommandError } from "./exit.ts";

export interface RouteEvents {
  readonly onReady: () => void;
  readonly onAnswers: (answers: readonly Answer[]) => void;
}

/** Before all addresses are tried again. */
const RETRY_MS = 250;

/**
 * A lane to one of the given addresses, and to the next one when that has nothing to offer any more. Only to those
 * given: what a member advertises may be another cluster's address as seen from here.
 */
export class Route implements Outlet {
  readonly #openLane: (client: SidecarClient, events: LaneEvents) => Lane;
  readonly #open = new Set<Lane>();
  /** In the order in which they are tried next. */
  #addresses: readonly string[];
  #address = "";
  #lane: Lane | undefined;
  #events: RouteEvents | undefined;
  #isClosed = false;

  constructor(addresses: readonly string[], openLane: (client: SidecarClient, events: LaneEvents) => Lane) {
    this.#addresses = addresses;
    this.#openLane = openLane;
  }

  get ready(): boolean {
    return this.#lane !== undefined;
  }

  /** Of the node in use, or that was used last. */
  get address(): string {
    return this.#address;
  }

  /** To be called once. Says which node it found; throws a CommandError when none answers. */
  async connect(events: RouteEvents): Promise<NodeView> {
    this.#events = events;
    return this.#connect();
  }

  send(numbers: readonly number[]): void {
    this.#lane?.send(numbers);
  }

  close(): void {
    this.#isClosed = true;
    this.#lane = undefined;
    for (const lane of [...this.#open]) lane.close();
  }

  async #connect(): Promise<NodeView> {
    const { client, node } = await connect(this.#addresses);
    if (this.#isClosed) {
      client.close();
      return node;
    }
    this.#address = client.address;
    const next = this.#addresses.indexOf(client.address) + 1;
    this.#addresses = [...this.#addresses.slice(next), ...this.#addresses.slice(0, next)];
    const lane = this.#openLane(client, {
      onAnswers: (answers) => this.#onAnswers(lane, answers),
      onLost: () => this.#leave(lane),
      onClosed: () => this.#open.delete(lane),
    });
    this.#open.add(lane);
    this.#lane = lane;
    return node;
  }

  #onAnswers(lane: Lane, answers: readonly Answer[]): void {
    if (answers.some(({ failed }) => failed !== undefined && movesOn(failed))) this.#leave(lane);
    this.#events?.onAnswers(answers);
  }

  /** Goes on at the next address. What was sent is still answered. */
  #leave(lane: Lane): void {
    if (lane !== this.#lane) return;
    this.#lane = undefined;
    lane.retire();
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    while (!this.#isClosed && this.#lane === undefined) {
      try {
        await this.#connect();
        this.#events?.onReady();
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        await sleep(RETRY_MS);
      }
    }
  }
}
