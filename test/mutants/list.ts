import { campaigns } from "./list/campaigns.ts";
import { commits } from "./list/commits.ts";
import { durability } from "./list/durability.ts";
import { durableSubscribers } from "./list/durable-subscribers.ts";
import { followers } from "./list/followers.ts";
import { installs } from "./list/installs.ts";
import { logStarts } from "./list/log-starts.ts";
import { lowDisks } from "./list/low-disks.ts";
import { nodes } from "./list/nodes.ts";
import { proposals } from "./list/proposals.ts";
import { replication } from "./list/replication.ts";
import { sessions } from "./list/sessions.ts";
import { snapshots } from "./list/snapshots.ts";
import { storage } from "./list/storage.ts";
import { strangers } from "./list/strangers.ts";
import { subscribers } from "./list/subscribers.ts";
import { votes } from "./list/votes.ts";
import type { Mutant } from "./mutant.ts";

export const mutants: readonly Mutant[] = [
  ...votes,
  ...campaigns,
  ...followers,
  ...durability,
  ...commits,
  ...replication,
  ...proposals,
  ...sessions,
  ...nodes,
  ...storage,
  ...lowDisks,
  ...snapshots,
  ...logStarts,
  ...installs,
  ...subscribers,
  ...durableSubscribers,
  ...strangers,
];
