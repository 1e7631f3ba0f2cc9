import { assert, InvariantError } from "../../src/assert.ts";
import { inputOf, mirroredCode } from "./local-input.ts";
import type { LocalNode, Sent } from "./local-node.ts";
import type { Locals } from "./locals.ts";

/**
 * A key that leaves something out would merge what isn't the same. Where two histories led to one local state, and where
 * a state stands for its mirror, the other one is brought there by its own history and must answer everything that was
 * ever asked of the state in the same way. Every `every`-th merge is audited; returns how many answers were compared.
 */
export function auditMerges(locals: Locals, every: number): number {
  let compared = 0;
  for (let i = 0; i < locals.merges.length; i += every) {
    const merge = locals.merges[i];
    if (merge === undefined) break;
    const arrive = (): LocalNode => {
      const node = locals.replay(merge.from);
      locals.perform(node, merge.code);
      return node;
    };
    compared += compare(locals, merge.local, arrive, (code) => code, false);
  }
  return compared;
}

/** The core names b first and c second. Its mirror's answers must be its own with the names exchanged. */
export function auditMirrors(locals: Locals, every: number): number {
  let compared = 0;
  for (let local = 0; local < locals.count; local += every) {
    const mirror = locals.mirror(local);
    compared += compare(locals, local, () => locals.replay(mirror), mirroredCode, true);
  }
  return compared;
}

function compare(
  locals: Locals,
  local: number,
  arrive: () => LocalNode,
  translate: (code: number) => number,
  mirrored: boolean,
): number {
  let compared = 0;
  for (const [code, transition] of locals.known(local)) {
    if (transition === undefined || inputOf(code).kind === "crash") continue;
    const node = arrive();
    assert(locals.keyOf(node, mirrored) === locals.key(local), "another history leads to the same state");
    const sent = performs(locals, node, translate(code));
    const expected = transition.sent.map((message) => (mirrored ? exchanged(message) : message));
    assert(text(sent) === text(expected), `state ${local} answers input ${code} in two ways`);
    assert(
      locals.keyOf(node, mirrored) === locals.key(transition.to),
      `input ${code} leads from ${local} to two states`,
    );
    compared++;
  }
  return compared;
}

function performs(locals: Locals, node: LocalNode, code: number): Sent[] {
  try {
    return locals.perform(node, code);
  } catch (error) {
    if (error instanceof InvariantError)
      throw new InvariantError(`only one history allows input ${code}: ${error.message}`);
    throw error;
  }
}

function exchanged({ to, body }: Sent): Sent {
  return { to: to === "b" ? "c" : "b", body };
}

/** In flight they have no order. */
function text(sent: readonly Sent[]): string {
  return sent
    .map(({ to, body }) => `${to}${body}`)
    .sort()
    .join();
}
