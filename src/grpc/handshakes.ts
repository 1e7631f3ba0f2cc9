import { create } from "@bufbuild/protobuf";
import { HandshakeSchema, type Handshake as ProtoHandshake } from "../../gen/raft/v1/raft_pb.js";
import { Failure } from "../failure.ts";
import type { Handshake, Handshaker } from "../node/handshake.ts";
import type { NodeId } from "../raft/types.ts";
import type { Log } from "./log.ts";
import { Refusals } from "./refusals.ts";
import { invalidArgument } from "./uint64.ts";

const IDENTITY_BYTES = 16;
const DIGEST_BYTES = 32;
const MAX_NAME_LENGTH = 256;

/** Peers, known or not, whose last refusal is remembered, so that it is logged once. */
const MAX_REMEMBERED = 256;

/** Of each kind in ten seconds: more than there are members, whoever else comes under whatever names. */
const MAX_LINES = 32;

/** The handshakes of all connections with other nodes: exchanged on the wire, judged by the node, refusals logged once. */
export class Handshakes {
  readonly #handshaker: Handshaker;
  readonly #refusals: Refusals;
  /** The refusal logged last, by direction and peer. */
  readonly #logged = new Map<string, string>();

  constructor(handshaker: Handshaker, log: Log) {
    this.#handshaker = handshaker;
    this.#refusals = new Refusals(log, () => performance.now(), MAX_LINES);
  }

  /** What this node says of itself. */
  own(addressee: NodeId): ProtoHandshake {
    const { sender, addressee: addresseeId, ...rest } = this.#handshaker.introduce(addressee);
    return create(HandshakeSchema, { ...rest, senderId: sender, addresseeId });
  }

  /** Judges the first message of another node. `dialed` is the member that this node meant to reach, if it dialed. */
  judge(
    proto: ProtoHandshake | undefined,
    dialed: NodeId | undefined,
    done: (result: Handshake | Failure) => void,
  ): void {
    if (proto === undefined) return done(invalidArgument("handshake", "must be set in the first message"));
    const malformed = whatIsMalformed(proto);
    if (malformed !== undefined) return done(malformed);
    const handshake = fromProto(proto);
    const direction = dialed === undefined ? "incoming" : "dialed";
    this.#handshaker.check(handshake, dialed, (refusal) => {
      if (refusal === undefined) {
        this.#logged.delete(`${direction}/${handshake.sender}`);
        return done(handshake);
      }
      this.#logOnce(direction, dialed ?? handshake.sender, refusal, "refused a peer");
      done(refusal);
    });
  }

  /** A member did not accept this node. */
  onRefusedBy(member: NodeId, failure: Failure): void {
    this.#handshaker.onRefusedBy(member, failure);
    this.#logOnce("refusedBy", member, failure, "refused by a peer");
  }

  /** A member that was dialed accepted this node and was accepted. */
  onMet(member: NodeId): void {
    this.#logged.delete(`refusedBy/${member}`);
    this.#handshaker.onMet(member);
  }

  #logOnce(direction: string, peer: NodeId, failure: Failure, event: string): void {
    const key = `${direction}/${peer}`;
    if (this.#logged.get(key) === failure.message) return;
    if (this.#logged.size >= MAX_REMEMBERED) this.#logged.clear();
    this.#logged.set(key, failure.message);
    this.#refusals.note(event, { peer, reason: failure.reason, detail: failure.message });
  }
}

function whatIsMalformed(proto: ProtoHandshake): Failure | undefined {
  for (const field of ["clusterId", "senderId", "addresseeId", "clientAddress", "peerAddress"] as const) {
    const { length } = proto[field];
    if (length > MAX_NAME_LENGTH) {
      return invalidArgument(`handshake.${field}`, `must have at most ${MAX_NAME_LENGTH} characters, has ${length}`);
    }
  }
  if (proto.logId.length !== 0 && proto.logId.length !== IDENTITY_BYTES) {
    return invalidArgument("handshake.log_id", `must have ${IDENTITY_BYTES} bytes or be empty`);
  }
  if (proto.incarnation.length !== IDENTITY_BYTES) {
    return invalidArgument("handshake.incarnation", `must have ${IDENTITY_BYTES} bytes`);
  }
  if (proto.bootstrapDigest.length !== DIGEST_BYTES) {
    return invalidArgument("handshake.bootstrap_digest", `must have ${DIGEST_BYTES} bytes`);
  }
  return undefined;
}

/** Copies the bytes: they are kept, and a view would hold on to the whole message. */
function fromProto(proto: ProtoHandshake): Handshake {
  return {
    clusterId: proto.clusterId,
    logId: Uint8Array.from(proto.logId),
    protocolMin: proto.protocolMin,
    protocolMax: proto.protocolMax,
    sender: proto.senderId,
    addressee: proto.addresseeId,
    incarnation: Uint8Array.from(proto.incarnation),
    clientAddress: proto.clientAddress,
    peerAddress: proto.peerAddress,
    bootstrapDigest: Uint8Array.from(proto.bootstrapDigest),
  };
}

/** True for a result of `judge` that is a refusal. */
export function isRefusal(result: Handshake | Failure): result is Failure {
  return result instanceof Failure;
}
