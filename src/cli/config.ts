import { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { defaultText, environmentName, OPTIONS } from "../config/options.ts";
import { type Format, formatOption, print, printJson, table } from "./output.ts";
import { addServeOptions, type ServeFlags, sourcesOf } from "./serve-options.ts";

export function configCommand(): Command {
  return new Command("config").description("Shows the configuration.").addCommand(printCommand());
}

function printCommand(): Command {
  const command = new Command("print")
    .description("Shows every option of serve with the value it would have, and what set it. Checks all of them.")
    .option("--origin", "show what set each value")
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
A flag wins over the environment, the environment over the file, the file over the default. The table, without
--origin, is a YAML file that serve --config reads.

Examples:
  raft-sidecar config print --origin
  RAFT_SIDECAR_ID=n2 raft-sidecar config print --origin --config node.yaml
  raft-sidecar config print > node.yaml`,
    );
  addServeOptions(command);
  return command.action((options: ServeFlags & { output: Format; origin?: true }) => {
    const { settings } = loadConfig(sourcesOf(options));
    const rows = settings.map((setting) => ({ ...setting, option: OPTIONS[setting.name] }));
    if (options.output === "json") {
      printJson({
        options: rows.map(({ option, text, origin }) => ({
          key: option.key,
          value: text,
          origin,
          default: defaultText(option),
          unit: option.unit ?? "",
          flag: `--${option.key}`,
          environment: environmentName(option.key),
          doc: option.doc,
        })),
      });
    } else if (options.origin === true) {
      const shown = rows.map(({ option, text, origin }) => [option.key, text === "" ? '""' : text, origin]);
      print(table(["OPTION", "VALUE", "ORIGIN"], shown));
    } else {
      for (const { option, text } of rows) print(`${option.key}: ${yamlText(text)}`);
    }
  });
}

/** Quoted where YAML would read something else than text or a number. */
function yamlText(text: string): string {
  return /^[a-zA-Z0-9./][a-zA-Z0-9./_-]*$/.test(text) ? text : JSON.stringify(text);
}
