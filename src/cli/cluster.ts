import { InvalidArgumentError, Option } from "commander";
import { parseAddress } from "../config/address.ts";
import { SidecarClient } from "../grpc/client.ts";
import type { NodeView } from "../grpc/views.ts";
import { briefly, callFailed, clusterUnreachable } from "./call-error.ts";

/** How long one node gets to answer a question about itself. */
export const ASK_TIMEOUT_MS = 3_000;

/** `--address H:P[,H:P…]`, for every command that talks to a cluster. */
export function addressOption(): Option {
  return new Option("--address <H:P[,H:P…]>", "client addresses of nodes, the first that answers is used")
    .argParser(parseAddresses)
    .default(["127.0.0.1:7420"], "127.0.0.1:7420");
}

function parseAddresses(text: string): string[] {
  const addresses = text.split(",").map((part) => part.trim());
  const wrong = addresses.filter((one) => parseAddress(one) === undefined && !/^unix:.+/.test(one));
  if (wrong.length === 0) return addresses;
  throw new InvalidArgumentError(`"${wrong.join(",")}" must be host:port, such as 127.0.0.1:7420, or unix:PATH.`);
}

/** Reads a whole number of an option. */
export function wholeNumber(text: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 0.");
}

/** Reads a whole number of an option that has limits. */
export function between(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^[0-9]+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/**
 * Uses the first of `addresses` behind which a node answers. Asking for its state first tells "not there" from an
 * outcome that nobody knows, before anything that can't be repeated is sent.
 */
export async function withCluster<T>(
  addresses: readonly string[],
  use: (client: SidecarClient) => Promise<T>,
): Promise<T> {
  const { client } = await connect(addresses);
  try {
    return await use(client);
  } catch (error) {
    throw callFailed(error, client.address);
  } finally {
    client.close();
  }
}

/** The first of `addresses` behind which a node answers, and what it said of itself. The caller closes the client. */
export async function connect(addresses: readonly string[]): Promise<{ client: SidecarClient; node: NodeView }> {
  const failures: string[] = [];
  for (const address of addresses) {
    const client = new SidecarClient(address);
    try {
      return { client, node: await client.status(ASK_TIMEOUT_MS) };
    } catch (error) {
      client.close();
      failures.push(`${address}: ${briefly(error)}`);
    }
  }
  throw clusterUnreachable(failures);
}
