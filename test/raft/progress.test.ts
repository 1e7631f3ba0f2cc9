import { describe, expect, it } from "vitest";
import { becomeProbe, becomeReplicate, maybeAdvance, newProgress } from "../../src/raft/progress.ts";

/** A member that matches to 2, with requests to 3, 5 and 7 in flight, of 10, 20 and 40 bytes. */
function pipelined() {
  const progress = newProgress("b", 3);
  progress.match = 2;
  becomeReplicate(progress, 8, 1);
  const inFlight = [
    { last: 3, bytes: 10 },
    { last: 5, bytes: 20 },
    { last: 7, bytes: 40 },
  ];
  progress.mode = { kind: "replicate", sinceSequence: 1, inFlight, inFlightBytes: 70 };
  return progress;
}

describe("an acknowledgement", () => {
  it.each([
    { match: 3, open: [5, 7], bytes: 60 },
    { match: 4, open: [5, 7], bytes: 60 },
    { match: 5, open: [7], bytes: 40 },
    { match: 7, open: [], bytes: 0 },
  ])("of $match lets go of the requests that it covers, and of no other", ({ match, open, bytes }) => {
    const progress = pipelined();
    expect(maybeAdvance(progress, match)).toBe(true);
    expect(progress).toMatchObject({ match, next: 8, mode: { inFlightBytes: bytes } });
    const { mode } = progress;
    expect(mode.kind === "replicate" && mode.inFlight.map(({ last }) => last)).toEqual(open);
  });

  it.each([1, 2])("of %d, no higher than the last, changes nothing (PITFALL 14)", (match) => {
    const progress = pipelined();
    expect(maybeAdvance(progress, match)).toBe(false);
    expect(progress).toEqual(pipelined());
  });

  it("of more than was thought sent moves on what is sent next", () => {
    const progress = newProgress("b", 2);
    maybeAdvance(progress, 4);
    expect(progress).toMatchObject({ match: 4, next: 5 });
  });
});

it.each([becomeProbe, (progress: ReturnType<typeof pipelined>, next: number) => becomeReplicate(progress, next, 0)])(
  "what matches is not sent again, whatever the search finds",
  (become) => {
    const progress = pipelined();
    become(progress, 1);
    expect(progress.next).toBe(3);
    become(progress, 6);
    expect(progress.next).toBe(6);
  },
);
