import type { Ignorer } from "@stryker-mutator/api/ignore";
import { declareValuePlugin, PluginKind } from "@stryker-mutator/api/plugin";

/** What this needs of Babel's path to a node. */
declare module "@stryker-mutator/api/ignore" {
  interface NodePath {
    readonly key: string | number | null;
    readonly listKey?: string;
    readonly parent: { readonly type: string; readonly callee?: { readonly name?: string } };
  }
}

/**
 * For StrykerJS: leaves the messages of assertions alone. They are for people, and no test looks at their words. Not
 * `excludedMutations: ["StringLiteral"]`: that would spare `role.leader === ""` as well.
 */
const ignoreMessages: Ignorer = {
  shouldIgnore({ key, listKey, parent }) {
    const isMessage =
      parent.type === "CallExpression" && parent.callee?.name === "assert" && listKey === "arguments" && key === 1;
    return isMessage ? "the message of an assertion" : undefined;
  },
};

export const strykerPlugins = [declareValuePlugin(PluginKind.Ignore, "assertion-messages", ignoreMessages)];
