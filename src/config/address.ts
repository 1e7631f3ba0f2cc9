import { isIP, isIPv4 } from "node:net";

/** A host and a port as they stand in the configuration: `host:port`, `[ipv6]:port`. */
export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

const HOST_NAME = /^[a-zA-Z0-9]([a-zA-Z0-9-.]{0,251}[a-zA-Z0-9])?$/;

/** Reads `host:port`; undefined when it is none. Ports are 1 to 65,535. */
export function parseAddress(text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, ipv6, name, digits] = match;
  const port = Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? { host: ipv6, port } : undefined;
  return name !== undefined && HOST_NAME.test(name) ? { host: name, port } : undefined;
}

/** Whether only this machine can reach a listener on `host`. Names other than "localhost" count as reachable. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

/** Whether a listener on `host` takes every interface, so that nobody can dial that address. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || /^[0:]+$/.test(host);
}
