import { type Command, Option } from "commander";
import type { ConfigSources } from "../config/load.ts";
import { defaultText, OPTION_NAMES, OPTIONS, type OptionName } from "../config/options.ts";

/** What commander makes of the options that `addServeOptions` adds. */
export type ServeFlags = Readonly<Partial<Record<OptionName, string | true>>> & { readonly config?: string };

/** Adds every option of the configuration's table, and `--config`. Values stay text: the configuration reads them. */
export function addServeOptions(command: Command): Command {
  command.option("--config <FILE>", "YAML file with any of these options, by their names without dashes");
  for (const name of OPTION_NAMES) {
    const it = OPTIONS[name];
    const flags = it.placeholder === undefined ? `--${it.key}` : `--${it.key} <${it.placeholder}>`;
    const fallback = it.placeholder === undefined ? "" : ` (default: ${defaultText(it)})`;
    command.addOption(new Option(flags, `${it.doc}${fallback}`));
  }
  return command;
}

/** What `addServeOptions` parsed, and the environment. */
export function sourcesOf(options: ServeFlags): ConfigSources {
  const flags: Partial<Record<OptionName, string>> = {};
  for (const name of OPTION_NAMES) {
    const value = options[name];
    if (value !== undefined) flags[name] = String(value);
  }
  return { flags, file: options.config, environment: process.env };
}
