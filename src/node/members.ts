import { createHash } from "node:crypto";
import { Failure } from "../failure.ts";
import type { NodeId } from "../raft/types.ts";
import type { MemberRecord, Storage } from "../storage/storage.ts";
import type { MemberStatus } from "./api.ts";
import { type Handshake, type Handshaker, PROTOCOL_MAX, PROTOCOL_MIN } from "./handshake.ts";
import type { NodeOptions } from "./options.ts";

const NOTHING = new Uint8Array(0);

/**
 * Who the other members are, and whether this node has met them.
 *
 * A voter that comes back with an emptied disk may have forgotten a vote. So every member remembers every other's
 * incarnation, which is made with the data directory, and refuses another one; and a node takes part only once all
 * initial members have its incarnation on their disks and it has theirs.
 */
export class Members implements Handshaker {
  readonly #options: NodeOptions;
  readonly #storage: Storage;
  readonly #logId: () => Uint8Array;
  readonly #onBootstrapped: () => void;
  readonly #known = new Map<NodeId, MemberRecord>();
  readonly #met = new Set<NodeId>();
  /** Why a member and this node don't accept each other; the latest reason. */
  readonly #refusals = new Map<NodeId, Failure>();
  readonly #digest: Uint8Array;
  #isBootstrapped: boolean;

  constructor(options: NodeOptions, storage: Storage, logId: () => Uint8Array, onBootstrapped: () => void) {
    this.#options = options;
    this.#storage = storage;
    this.#logId = logId;
    this.#onBootstrapped = onBootstrapped;
    this.#isBootstrapped = storage.recovered.bootstrapped;
    this.#digest = bootstrapDigest(storage.recovered.bootstrapVoters);
    for (const member of storage.recovered.members) this.#known.set(member.id, member);
  }

  /** Whether this node may take part: vote, acknowledge, campaign. */
  get isBootstrapped(): boolean {
    return this.#isBootstrapped;
  }

  /** Those whom this node has never met, of whom it needs word before it takes part. */
  get missing(): NodeId[] {
    return this.#others().filter((id) => !this.#met.has(id));
  }

  /** What keeps this node from taking part, for people; "" when it does. */
  get waitsFor(): string {
    if (this.#isBootstrapped) return "";
    const missing = this.missing.map((id) => {
      const refusal = this.#refusals.get(id);
      return refusal === undefined ? id : `${id} (${refusal.reason}: ${refusal.message})`;
    });
    return `it takes part once it has met all initial members; not yet met: ${missing.join(", ")}`;
  }

  /** A node without others has nobody to meet. */
  start(): void {
    this.#maybeBootstrap();
  }

  clientAddressOf(id: NodeId): string {
    if (id === this.#options.id) return this.#options.clientAddress;
    return this.#known.get(id)?.clientAddress ?? "";
  }

  list(): MemberStatus[] {
    return this.#options.initialMembers
      .map(({ id, peerAddress }) => ({
        id,
        peerAddress,
        clientAddress: this.clientAddressOf(id),
        incarnation:
          id === this.#options.id ? this.#storage.recovered.incarnation : (this.#known.get(id)?.incarnation ?? NOTHING),
      }))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  introduce(addressee: NodeId): Handshake {
    return {
      clusterId: this.#options.clusterId,
      logId: this.#logId(),
      protocolMin: PROTOCOL_MIN,
      protocolMax: PROTOCOL_MAX,
      sender: this.#options.id,
      addressee,
      incarnation: this.#storage.recovered.incarnation,
      clientAddress: this.#options.clientAddress,
      peerAddress: this.#options.peerAddress,
      bootstrapDigest: this.#digest,
    };
  }

  check(handshake: Handshake, dialed: NodeId | undefined, done: (refusal: Failure | undefined) => void): void {
    const refusal = this.#refusalOf(handshake, dialed);
    if (refusal !== undefined) {
      if (dialed !== undefined) this.#refusals.set(dialed, refusal);
      return done(refusal);
    }
    const { sender, incarnation, clientAddress, peerAddress } = handshake;
    const known = this.#known.get(sender);
    const isNews = known?.clientAddress !== clientAddress || known.peerAddress !== peerAddress;
    const member = { id: sender, incarnation: Uint8Array.from(incarnation), clientAddress, peerAddress };
    // Known from here on, so that no second incarnation gets in while the disk writes; and written again, for a known
    // member too, because an earlier write of it may still be under way.
    this.#known.set(sender, member);
    if (isNews || !this.#met.has(sender)) this.#storage.saveMember(member, () => done(undefined));
    else done(undefined);
  }

  onRefusedBy(member: NodeId, refusal: Failure): void {
    this.#refusals.set(member, refusal);
  }

  onMet(member: NodeId): void {
    this.#met.add(member);
    this.#refusals.delete(member);
    this.#maybeBootstrap();
  }

  #maybeBootstrap(): void {
    if (this.#isBootstrapped || this.missing.length > 0) return;
    this.#storage.saveBootstrapped(() => {
      if (this.#isBootstrapped) return;
      this.#isBootstrapped = true;
      this.#onBootstrapped();
    });
  }

  #others(): NodeId[] {
    return this.#options.initialMembers.map((member) => member.id).filter((id) => id !== this.#options.id);
  }

  #refusalOf(handshake: Handshake, dialed: NodeId | undefined): Failure | undefined {
    const own = this.introduce(handshake.sender);
    const { sender } = handshake;
    if (handshake.clusterId !== own.clusterId) {
      return refuse("CLUSTER_MISMATCH", "the cluster ids differ", handshake.clusterId, own.clusterId);
    }
    if (handshake.protocolMin > own.protocolMax || handshake.protocolMax < own.protocolMin) {
      const theirs = `${handshake.protocolMin}-${handshake.protocolMax}`;
      return refuse("PROTOCOL_MISMATCH", "no common protocol version", theirs, `${own.protocolMin}-${own.protocolMax}`);
    }
    if (handshake.addressee !== own.sender) {
      return refuse("UNKNOWN_PEER", "another node was meant: check --initial-cluster", handshake.addressee, own.sender);
    }
    if (!this.#others().includes(sender) || (dialed !== undefined && sender !== dialed)) {
      const expected = dialed ?? this.#others().join(",");
      return refuse("UNKNOWN_PEER", "not a member that is expected here: check --initial-cluster", sender, expected);
    }
    if (!equal(handshake.bootstrapDigest, own.bootstrapDigest)) {
      const voters = [...this.#storage.recovered.bootstrapVoters].sort().join(",");
      const why = `${sender} was bootstrapped with other voters than ${voters}: give all nodes the same --initial-cluster`;
      return refuse("CLUSTER_MISMATCH", why, hex(handshake.bootstrapDigest), hex(own.bootstrapDigest));
    }
    if (handshake.incarnation.length !== 16) {
      return refuse("INCARNATION_MISMATCH", "an incarnation has 16 bytes", hex(handshake.incarnation), "");
    }
    if (handshake.logId.length > 0 && own.logId.length > 0 && !equal(handshake.logId, own.logId)) {
      return refuse("LOG_EPOCH_MISMATCH", "the log ids differ", hex(handshake.logId), hex(own.logId));
    }
    const known = this.#known.get(sender)?.incarnation;
    if (known !== undefined && !equal(known, handshake.incarnation)) {
      const why =
        `${sender} has lost the data directory that it had and may have forgotten a vote: ` +
        "it cannot take part without that very directory as it last was (an older copy is no better)";
      return refuse("INCARNATION_MISMATCH", why, hex(handshake.incarnation), hex(known));
    }
    return undefined;
  }
}

function refuse(
  reason: "CLUSTER_MISMATCH" | "PROTOCOL_MISMATCH" | "UNKNOWN_PEER" | "INCARNATION_MISMATCH" | "LOG_EPOCH_MISMATCH",
  message: string,
  theirs: string,
  ours: string,
): Failure {
  return new Failure(reason, `${message} (theirs: ${theirs || "none"}, ours: ${ours || "none"})`, {
    metadata: { theirs, ours },
  });
}

function bootstrapDigest(voters: readonly NodeId[]): Uint8Array {
  return createHash("sha256")
    .update([...voters].sort().join("\n"))
    .digest();
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
