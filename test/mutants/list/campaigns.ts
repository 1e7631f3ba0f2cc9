import type { Mutant } from "../mutant.ts";

/** Pre-votes, elections and terms. */
export const campaigns: readonly Mutant[] = [
  {
    name: "a-pre-vote-makes-its-receiver-enter-the-term",
    file: "src/raft/election.ts",
    find: "  if (request.preVote) {",
    replace:
      '  if (request.preVote) {\n    if (request.term > raft.currentTerm) becomeFollower(raft, request.term, "");',
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-pre-vote-resets-the-election-timer",
    file: "src/raft/election.ts",
    find: "    return answer(raft, request, request.term > raft.currentTerm && upToDate);",
    replace:
      "    resetElectionTimer(raft);\n    return answer(raft, request, request.term > raft.currentTerm && upToDate);",
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "an-election-without-a-pre-vote",
    file: "src/raft/election.ts",
    find: '  raft.role = { kind: "preCandidate", votes: new Map([[raft.id, true]]) };\n  askForVotes(raft, raft.currentTerm + 1, true);\n  countVotes(raft);',
    replace: "  becomeCandidate(raft);",
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "who-hears-a-leader-votes-against-it",
    file: "src/raft/election.ts",
    find: "if (hasLeader(raft)) return answer(raft, request, false);",
    replace: "",
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-leader-helps-to-depose-itself",
    file: "src/raft/election.ts",
    find: 'if (role.kind === "leader") return true;',
    replace: 'if (role.kind === "leader") return false;',
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-follower-does-not-note-when-it-heard-its-leader",
    file: "src/raft/append-entries.ts",
    find: "  role.heardTicks = raft.nowTicks;\n",
    replace: "",
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-vote-of-an-earlier-election-counts",
    file: "src/raft/election.ts",
    find: '} else if (role.kind !== "candidate" || response.electionTerm !== raft.currentTerm) {',
    replace: '} else if (role.kind !== "candidate") {',
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-pre-vote-counts-as-a-vote",
    file: "src/raft/election.ts",
    find: "if (response.preVote) {",
    replace: 'if (response.preVote && role.kind !== "candidate") {',
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-granted-pre-vote-makes-the-candidate-enter-the-term",
    file: "src/raft/raft.ts",
    find: 'if (message.term > this.currentTerm && !(message.kind === "requestVoteResponse" && message.granted)) {',
    replace: "if (message.term > this.currentTerm) {",
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "an-answer-of-a-higher-term-deposes-nobody",
    file: "src/raft/raft.ts",
    find: 'if (message.term > this.currentTerm && !(message.kind === "requestVoteResponse" && message.granted)) {',
    replace: "if (message.term < 0) {",
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-candidate-does-not-vote-for-itself-on-disk",
    file: "src/raft/election.ts",
    find: "raft.setHardState(raft.currentTerm + 1, raft.id);",
    replace: 'raft.setHardState(raft.currentTerm + 1, "");\n  raft.votedFor = raft.id;',
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-learner-campaigns",
    file: "src/raft/election.ts",
    find: "isVoter(raft.configuration, raft.id) && !raft.isDiskOverdue",
    replace: "!raft.isDiskOverdue",
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-node-campaigns-while-its-disk-hangs",
    file: "src/raft/election.ts",
    find: " && !raft.isDiskOverdue && raft.currentTerm < MAX_TERM",
    replace: " && raft.currentTerm < MAX_TERM",
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
  {
    name: "a-campaign-passes-the-last-term",
    file: "src/raft/election.ts",
    find: " && raft.currentTerm < MAX_TERM;",
    replace: ";",
    caughtBy: ["test/raft/terms.test.ts"],
  },
  {
    name: "a-term-of-2^53-is-adopted",
    file: "src/raft/fault.ts",
    find: "return Number.isInteger(term) && term >= 0 && term <= MAX_TERM;",
    replace: "return Number.isInteger(term) && term >= 0;",
    caughtBy: ["test/raft/fault.test.ts"],
  },
  {
    name: "all-election-timeouts-are-equal",
    file: "src/raft/follower.ts",
    find: "return min + options.random(max - min + 1);",
    replace: "return max;",
    caughtBy: ["test/raft/election.test.ts", "test/raft/voting.test.ts", "test/raft/leadership.test.ts"],
  },
];
