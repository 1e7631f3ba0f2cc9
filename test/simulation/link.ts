import { assert } from "../../src/assert.ts";
import type { Failure } from "../../src/failure.ts";
import type { Handshake } from "../../src/node/handshake.ts";
import type { ForwardOutcome, ForwardRequest } from "../../src/node/transport.ts";
import type {
  AppendEntries,
  AppendEntriesResponse,
  Message,
  RequestVote,
  RequestVoteResponse,
} from "../../src/raft/message.ts";
import { ZERO_ID } from "../../src/raft/types.ts";
import type { Host, Process } from "./host.ts";
import type { World } from "./world.ts";

const REDIAL_MS = 50;
const REDIAL_MAX_MS = 1_000;
const REFUSED_MS = 1_000;
const HANDSHAKE_MS = 5_000;
const FORWARD_OPEN_MS = 1_000;
/** A connection to a process that has ended is reset about so fast. */
const RESET_MS = 5;

/**
 * What one process has dialed to another host. It opens once both sides have accepted the other's handshake, carries
 * requests one way and answers the other, and breaks: then what was under way is lost, and it is dialed again.
 */
export class Link {
  readonly #world: World;
  readonly #dialer: Process;
  readonly #to: Host;
  /** The process at the other end, while the link is open. */
  #acceptor: Process | undefined;
  /** Rises with every dial and break: what belongs to an earlier connection is recognized. */
  #generation = 0;
  /** Whether both have ever accepted each other. */
  #met = false;
  #closed = false;
  /** It was open, and isn't any more. */
  #lost = false;
  readonly #unsent = new Set<Forwarded>();
  readonly #outstanding = new Set<Forwarded>();

  constructor(world: World, dialer: Process, to: Host) {
    this.#world = world;
    this.#dialer = dialer;
    this.#to = to;
  }

  start(): void {
    this.#redialIn(this.#world.random.network.between(0, REDIAL_MS));
  }

  /** The dialer has ended. */
  close(): void {
    this.#closed = true;
    this.#generation++;
    this.#acceptor = undefined;
  }

  /** Something is connected again: a connection to a process that ended meanwhile is reset. */
  onHealed(): void {
    if (this.#acceptor?.isAlive === false) this.#onAcceptorEnded(this.#generation);
  }

  /** The connection is gone; the dialer notices, if it had been open. */
  break(): void {
    const wasOpen = this.#acceptor !== undefined;
    this.#generation++;
    this.#acceptor = undefined;
    if (this.#closed) return;
    const lost = [...this.#outstanding];
    this.#outstanding.clear();
    for (const { done } of lost) this.#dialer.run(() => done({ kind: "lost" }));
    if (wasOpen) {
      this.#world.counters.add("connections broken");
      this.#lost = true;
      this.#dialer.run(() => this.#dialer.node.onUnreachable(this.#to.id));
      this.#probe();
    }
    this.#redialIn(this.#world.random.network.between(REDIAL_MS, REDIAL_MAX_MS));
  }

  sendVote(request: RequestVote): void {
    if (!this.#met) return;
    const handshake = this.#dialer.node.handshaker.introduce(this.#to.id);
    this.#carry(false, () => this.#judged(handshake, request));
  }

  /** The other side's answer to a vote that this side asked for. */
  answerVote(response: RequestVoteResponse, from: Process): void {
    const handshake = from.node.handshaker.introduce(this.#dialer.host.id);
    this.#carry(true, () => {
      if (this.#closed) return;
      this.#dialer.run(() => {
        this.#dialer.node.handshaker.check(handshake, this.#to.id, (refusal) => {
          if (refusal === undefined) this.#world.deliver(this.#dialer, response);
        });
      });
    });
  }

  sendAppend(request: AppendEntries): void {
    if (this.#acceptor === undefined) return;
    const generation = this.#generation;
    this.#carry(false, () => {
      if (this.#arrives(generation)) this.#world.deliver(this.#to.process, request);
    });
  }

  answerAppend(response: AppendEntriesResponse, from: Process): void {
    if (this.#acceptor !== from) return;
    const generation = this.#generation;
    const answer = onWire(response);
    this.#carry(true, () => {
      if (!this.#closed && this.#arrives(generation)) this.#world.deliver(this.#dialer, answer);
    });
  }

  /** In order, at most once, and `lost` when the connection breaks before the answer has come. */
  forward(request: ForwardRequest, done: (outcome: ForwardOutcome) => void): void {
    const forwarded = { request, done };
    if (this.#acceptor !== undefined) return this.#sendForward(forwarded);
    this.#unsent.add(forwarded);
    this.#world.scheduler.in(FORWARD_OPEN_MS, () => {
      if (this.#unsent.delete(forwarded)) this.#dialer.run(() => done({ kind: "notSent" }));
    });
  }

  #sendForward(forwarded: Forwarded): void {
    const { network, scheduler } = this.#world;
    const from = this.#dialer.host;
    const generation = this.#generation;
    this.#outstanding.add(forwarded);
    scheduler.at(network.inOrder(from, this.#to, network.arrivalMs(from, this.#to, false)), () => {
      if (generation !== this.#generation) return;
      if (network.isCut(from, this.#to) || this.#world.random.network.chance(network.faults.drop)) return this.break();
      const acceptor = this.#acceptor;
      acceptor?.run(() => {
        acceptor.node.onForward(from.id, forwarded.request, (outcome) => {
          if (acceptor.mayAct()) this.#answerForward(forwarded, outcome, generation);
        });
      });
    });
  }

  #answerForward(forwarded: Forwarded, outcome: ForwardOutcome, generation: number): void {
    const { network, scheduler } = this.#world;
    const to = this.#dialer.host;
    scheduler.at(network.inOrder(this.#to, to, network.arrivalMs(this.#to, to, true)), () => {
      if (generation !== this.#generation) return;
      if (network.isCut(this.#to, to)) return this.break();
      if (this.#outstanding.delete(forwarded)) this.#dialer.run(() => forwarded.done(outcome));
    });
  }

  #redialIn(delayMs: number): void {
    const generation = this.#generation;
    this.#world.scheduler.in(delayMs, () => {
      if (generation === this.#generation && !this.#closed) this.#dialer.run(() => this.#dial());
    });
  }

  #dial(): void {
    const { network, scheduler, random } = this.#world;
    const from = this.#dialer.host;
    const generation = ++this.#generation;
    const again = (): void => this.#redialIn(random.network.between(REDIAL_MS, REDIAL_MAX_MS));
    if (network.isCut(from, this.#to) || network.isCut(this.#to, from)) return again();
    scheduler.in(HANDSHAKE_MS, () => {
      if (generation === this.#generation && this.#acceptor === undefined) again();
    });
    const handshake = this.#dialer.node.handshaker.introduce(this.#to.id);
    scheduler.at(network.arrivalMs(from, this.#to, false), () => {
      const acceptor = this.#to.process;
      if (acceptor === undefined || this.#to.refusesDials) {
        this.#world.counters.add("dials refused");
        this.#tellRefused();
        return again();
      }
      acceptor.onEnd(() => {
        if (generation === this.#generation && this.#acceptor === undefined) again();
      });
      acceptor.run(() => {
        acceptor.node.handshaker.check(handshake, undefined, (refusal) => {
          const answer = acceptor.node.handshaker.introduce(from.id);
          scheduler.at(network.arrivalMs(this.#to, from, true), () => {
            if (generation !== this.#generation) return;
            if (refusal !== undefined) this.#onRefused(refusal, true);
            else this.#dialer.run(() => this.#onAnswer(answer, acceptor, generation));
          });
        });
      });
    });
  }

  /** The dialer looks at once whether a connection that broke is refused now. */
  #probe(): void {
    const { network, scheduler, random } = this.#world;
    const from = this.#dialer.host;
    if (network.isCut(from, this.#to) || network.isCut(this.#to, from)) return;
    const generation = this.#generation;
    const isFalse = random.network.chance(network.faults.falseRefusals);
    scheduler.at(network.arrivalMs(from, this.#to, false), () => {
      if (generation !== this.#generation) return;
      if (isFalse || this.#to.refusesDials) this.#tellRefused();
    });
  }

  #tellRefused(): void {
    if (!this.#lost || this.#closed) return;
    const isFalse = this.#to.process !== undefined;
    this.#world.counters.add(isFalse ? "members refused that live" : "members refused that have ended");
    this.#world.trace.say(this.#world.nowMs, () => `${this.#dialer.host.id} hears that ${this.#to.id} is refused`);
    this.#dialer.run(() => {
      for (const forwarded of this.#unsent) forwarded.done({ kind: "notSent" });
      this.#unsent.clear();
      this.#dialer.node.onRefused(this.#to.id);
    });
  }

  /** The other side has accepted this one. */
  #onAnswer(handshake: Handshake, acceptor: Process, generation: number): void {
    const { handshaker } = this.#dialer.node;
    handshaker.check(handshake, this.#to.id, (refusal) => {
      if (generation !== this.#generation) return;
      if (refusal !== undefined) return this.#onRefused(refusal, false);
      if (!acceptor.isAlive) return this.break();
      this.#acceptor = acceptor;
      this.#met = true;
      this.#lost = false;
      this.#dialer.node.onReachable(this.#to.id);
      acceptor.onEnd(() => this.#onAcceptorEnded(generation));
      handshaker.onMet(this.#to.id);
      for (const forwarded of this.#unsent) this.#sendForward(forwarded);
      this.#unsent.clear();
    });
  }

  #onRefused(refusal: Failure, byOther: boolean): void {
    this.#world.counters.add("handshakes refused");
    if (byOther) this.#dialer.run(() => this.#dialer.node.handshaker.onRefusedBy(this.#to.id, refusal));
    this.#redialIn(REFUSED_MS);
  }

  #onAcceptorEnded(generation: number): void {
    const { network, scheduler, random } = this.#world;
    if (network.isCut(this.#to, this.#dialer.host)) return;
    scheduler.in(random.network.between(0, RESET_MS), () => {
      if (generation === this.#generation) this.break();
    });
  }

  #judged(handshake: Handshake, request: RequestVote): void {
    const acceptor = this.#to.refusesDials ? undefined : this.#to.process;
    acceptor?.run(() => {
      acceptor.node.handshaker.check(handshake, undefined, (refusal) => {
        if (refusal === undefined) this.#world.deliver(acceptor, request);
      });
    });
  }

  #carry(isAnswer: boolean, deliver: () => void): void {
    const [from, to] = isAnswer ? [this.#to, this.#dialer.host] : [this.#dialer.host, this.#to];
    this.#world.network.carry(from, to, isAnswer, deliver);
  }

  /** Whether a message of connection `generation` still gets through. */
  #arrives(generation: number): boolean {
    if (generation === this.#generation && this.#acceptor?.isAlive === true) return true;
    const { network, random, counters } = this.#world;
    if (!random.network.chance(network.faults.leftover)) return false;
    counters.add("messages of an earlier connection");
    return true;
  }
}

interface Forwarded {
  readonly request: ForwardRequest;
  readonly done: (outcome: ForwardOutcome) => void;
}

/** The wire has no place for an absent conflict hint. */
function onWire(message: AppendEntriesResponse): Message {
  const conflict = message.success ? undefined : (message.conflict ?? ZERO_ID);
  assert(message.success || conflict !== undefined, "a rejection has a hint");
  return { ...message, conflict };
}
