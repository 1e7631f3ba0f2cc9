import { defineConfig } from "vitest/config";

/** For StrykerJS: the tests of the core, without the random scenarios, which take longer than all others together. */
export default defineConfig({
  test: {
    include: ["test/raft/**/*.test.ts"],
    exclude: ["test/raft/random.test.ts"],
    isolate: false,
    testTimeout: 30_000,
  },
});
