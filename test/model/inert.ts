import type { Bounds } from "./bounds.ts";
import type { Locals } from "./locals.ts";
import { bodyOf, receiverOf, senderOf } from "./state.ts";

/**
 * Whether a message can do nothing any more, now or later, to whomever it reaches: it may be forgotten, and states that
 * differ in it only are one. What is said here rests on terms that are on a disk, and so never fall, and on what the
 * core does with late messages: a core that counts an answer to an earlier election would be missed by who forgets it. A
 * test explores with and without and compares, and `make model` forgets in the largest bounds only.
 */
export function isInert(message: number, nodes: readonly number[], bounds: Bounds, locals: Locals): boolean {
  const body = locals.bodies.message(bodyOf(message), "b");
  const { diskTerm, currentTerm, isCandidate, isLeader } = locals.facts(nodes[receiverOf(message)] ?? 0);
  switch (body.kind) {
    case "requestVoteResponse":
      // News of a later term, unless it grants something.
      if (!body.granted && body.term > diskTerm) return false;
      // A pre-vote counts in the term before the one that it is for, a vote with who asks for votes in its term. That
      // is over for good when it is over: the next election has another term.
      if (body.preVote || body.electionTerm !== diskTerm) return body.electionTerm <= diskTerm;
      return !isCandidate || currentTerm !== body.electionTerm;
    case "appendEntriesResponse":
      // It is for the leader of its term, and nobody leads a term twice.
      return body.term <= diskTerm && (body.sequence === 0 || !isLeader || currentTerm !== body.term);
    case "requestVote":
    case "appendEntries": {
      // What is refused for its term changes nothing here, and the refusal nothing at who is in the last term.
      const isRefused = body.kind === "requestVote" && body.preVote ? body.term <= diskTerm : body.term < diskTerm;
      return isRefused && locals.facts(nodes[senderOf(message)] ?? 0).diskTerm >= bounds.maxTerm;
    }
  }
}
