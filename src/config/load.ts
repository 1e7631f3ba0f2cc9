import { crossCheck } from "./checks.ts";
import { readConfigFile } from "./file.ts";
import { environmentName, OPTION_NAMES, OPTIONS, type OptionName, type ServeConfig } from "./options.ts";

/** Where options come from, besides the file that one of them may name. */
export interface ConfigSources {
  /** As on the command line. */
  readonly flags: Partial<Record<OptionName, string>>;
  /** `--config`; undefined when not given. */
  readonly file: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** An option's value as text, and what set it. */
export interface Setting {
  readonly name: OptionName;
  readonly text: string;
  /** `flag --id`, `environment RAFT_SIDECAR_ID`, `file PATH`, or `default`. */
  readonly origin: string;
}

export interface LoadedConfig {
  readonly config: ServeConfig;
  /** In the table's order. */
  readonly settings: readonly Setting[];
}

/** The configuration is wrong. Holds every problem that was found, each with the option's name. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(["the configuration is wrong:", ...problems.map((problem) => `  ${problem}`)].join("\n"));
    this.problems = problems;
  }
}

/** Reads and checks all options: a flag wins over the environment, that over the file, that over the default. */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const file = sources.file ?? fromEnvironment(sources, "config");
  const fromFile = file === undefined ? { values: {}, problems: [] } : readConfigFile(file);
  const given = new Map<OptionName, Setting>();
  for (const name of OPTION_NAMES) {
    const setting = givenSetting(name, sources, fromFile.values, file);
    if (setting !== undefined) given.set(name, setting);
  }
  const settings = OPTION_NAMES.map((name) => given.get(name) ?? defaultSetting(name, given));
  const { config, problems } = parseSettings(settings);
  const all = [...fromFile.problems, ...problems];
  if (all.length > 0) throw new ConfigError(all);
  return { config: config as ServeConfig, settings };
}

/**
 * An empty variable counts as not set. Unknown ones with our prefix are left alone: Kubernetes makes such for a service
 * called raft-sidecar.
 */
function fromEnvironment(sources: ConfigSources, key: string): string | undefined {
  const text = sources.environment[environmentName(key)];
  return text === "" ? undefined : text;
}

function givenSetting(
  name: OptionName,
  sources: ConfigSources,
  fromFile: Partial<Record<OptionName, string>>,
  file: string | undefined,
): Setting | undefined {
  const { key } = OPTIONS[name];
  const flag = sources.flags[name];
  if (flag !== undefined) return { name, text: flag, origin: `flag --${key}` };
  const variable = fromEnvironment(sources, key);
  if (variable !== undefined) return { name, text: variable, origin: `environment ${environmentName(key)}` };
  const text = fromFile[name];
  return text === undefined ? undefined : { name, text, origin: `file ${file}` };
}

function defaultSetting(name: OptionName, given: ReadonlyMap<OptionName, Setting>): Setting {
  const textOf = (other: OptionName): string => given.get(other)?.text ?? defaultSetting(other, given).text;
  const setting = (text: string): Setting => ({ name, text, origin: "default" });
  if (name === "advertiseClientAddress") return setting(textOf("clientAddress"));
  if (name === "advertisePeerAddress") return setting(textOf("peerAddress"));
  if (name === "initialCluster") return setting(`${textOf("id")}=${textOf("advertisePeerAddress")}`);
  return setting(OPTIONS[name].default ?? "");
}

function parseSettings(settings: readonly Setting[]): { config: Partial<ServeConfig>; problems: string[] } {
  const config: Partial<Record<OptionName, unknown>> = {};
  const problems: string[] = [];
  for (const setting of settings) {
    const result = OPTIONS[setting.name].schema.safeParse(setting.text);
    if (result.success) config[setting.name] = result.data;
    // A default that follows from a wrong option would only repeat the complaint.
    else if (setting.origin !== "default") {
      for (const issue of result.error.issues) problems.push(`${label(setting)}: ${issue.message}${shown(setting)}`);
    }
  }
  const parsed = config as Partial<ServeConfig>;
  const bySetting = new Map(settings.map((setting) => [setting.name, setting]));
  for (const { name, message } of crossCheck(parsed)) {
    const setting = bySetting.get(name);
    if (setting !== undefined) problems.push(`${label(setting)}: ${message}`);
  }
  return { config: parsed, problems };
}

function label({ name, origin }: Setting): string {
  const flag = `--${OPTIONS[name].key}`;
  return origin === "default" || origin.startsWith("flag ") ? flag : `${flag} (${origin})`;
}

/** What was given, for a value short enough to help. */
function shown({ name, text }: Setting): string {
  return name === "initialCluster" || text.length > 100 ? "" : `, not "${text}"`;
}
