import type { Mutant } from "../mutant.ts";

/** What strangers may hold, say and cost. */
export const strangers: readonly Mutant[] = [
  {
    name: "any-term-is-adopted",
    file: "src/node/node.ts",
    find: "faultOf(message) ?? leapOf(message, this.#raft.currentTerm)",
    replace: "faultOf(message)",
    caughtBy: ["test/node/trouble.test.ts"],
  },
  {
    name: "there-is-no-bound-of-connections",
    file: "src/grpc/front-door.ts",
    find: "http2Server.maxConnections = this.#options.limits.maxConnections;",
    replace: "",
    caughtBy: ["test/hostile/front-door.test.ts"],
  },
  {
    name: "streams-that-end-are-still-counted",
    file: "src/grpc/front-door.ts",
    find: "if (isStream) this.#countStream(session, -1);",
    replace: "",
    caughtBy: ["test/hostile/front-door.test.ts"],
  },
  {
    name: "one-connection-may-have-all-streams",
    file: "src/grpc/front-door.ts",
    find: "const share = Math.ceil(maxStreams / 2);",
    replace: "const share = maxStreams;",
    caughtBy: ["test/hostile/front-door.test.ts"],
  },
  {
    name: "calls-that-say-nothing-are-not-counted",
    file: "src/grpc/front-door.ts",
    find: "if (this.#calls.size >= maxCalls)",
    replace: "if (this.#streams >= maxCalls)",
    caughtBy: ["test/hostile/front-door.test.ts"],
  },
  {
    name: "messages-may-take-for-ever",
    file: "src/grpc/front-door.ts",
    find: "} else if (isOverdue(stream, call, nowMs)) {",
    replace: "} else if (nowMs < 0) {",
    caughtBy: ["test/hostile/front-door.test.ts"],
  },
  {
    name: "unfinished-messages-have-no-bound",
    file: "src/grpc/front-door.ts",
    find: "const MAX_UNFINISHED_BYTES = 64 * 1024 * 1024;",
    replace: "const MAX_UNFINISHED_BYTES = Number.MAX_SAFE_INTEGER;",
    caughtBy: ["test/hostile/front-door.test.ts"],
  },
  {
    name: "ended-streams-stay-as-long-as-the-client-likes",
    file: "src/grpc/front-door.ts",
    find: "if (nowMs - call.doneSinceMs >= LINGER_MS) cutOff(stream);",
    replace: "",
    caughtBy: ["test/hostile/front-door.test.ts"],
  },
  {
    name: "compressed-messages-are-unpacked",
    file: "src/grpc/call-headers.ts",
    find: 'if (encoding !== undefined && encoding !== "identity") {',
    replace: 'if (encoding === "none") {',
    caughtBy: ["test/hostile/strangers.test.ts"],
  },
  {
    name: "every-name-that-was-watched-is-remembered",
    file: "src/grpc/health.ts",
    find: "if (!this.#services.includes(call.request.service)) call.request.service = UNKNOWN_SERVICE;",
    replace: "",
    caughtBy: ["test/hostile/strangers.test.ts"],
  },
  {
    name: "reflection-reads-on-for-a-client-that-does-not",
    file: "src/grpc/library-service.ts",
    find: "if (!writer.ready) reader.pause();",
    replace: "",
    caughtBy: ["test/hostile/strangers.test.ts"],
  },
  {
    name: "refusals-fill-the-log",
    file: "src/grpc/refusals.ts",
    find: "if (interval.lines >= this.#maxLines) {",
    replace: "if (interval.lines < 0) {",
    caughtBy: ["test/hostile/front-door.test.ts"],
  },
];
