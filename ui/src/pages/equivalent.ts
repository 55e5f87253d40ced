// A machine that the form describes, as a command line and as lines of Python.

import type { Wanted } from "./create";

export function asCommand(spec: Wanted): string {
  const words = ["banger", "run", "-d"];
  const option = (name: string, value: string | number | undefined): void => {
    if (value !== undefined && value !== "") words.push(name, String(value));
  };
  option("--name", spec.name);
  option("--cpus", spec.cpus);
  option("--memory", spec.memory_mib && `${spec.memory_mib}MiB`);
  option("--disk", spec.disk_bytes && `${spec.disk_bytes / 1024 ** 3}GiB`);
  option("--network", spec.network);
  for (const one of spec.networks ?? []) option("--network", one.network);
  for (const port of spec.ports ?? []) option("-p", port);
  option("--cpu-limit", spec.cpu_limit);
  option("--pids-limit", spec.pids_limit);
  option("--idle-pause", spec.idle_pause_s && `${spec.idle_pause_s}s`);
  option("--ttl", spec.ttl_s && `${spec.ttl_s}s`);
  option("--restart", spec.restart);
  words.push(spec.image || "IMAGE");
  if (spec.command) words.push("--", ...spec.command.argv);
  return words.map(quoted).join(" ");
}

export function asPython(spec: Wanted): string {
  const command = spec.command?.argv;
  const named: Array<[string, unknown]> = [
    ["name", spec.name], ["cpus", spec.cpus], ["memory", spec.memory_mib && `${spec.memory_mib}MiB`],
    ["disk_bytes", spec.disk_bytes], ["network", spec.network],
    ["networks", spec.networks?.map((one) => ({ network: one.network }))], ["ports", spec.ports],
    ["cpu_limit", spec.cpu_limit], ["pids_limit", spec.pids_limit], ["idle_pause_s", spec.idle_pause_s],
    ["ttl_s", spec.ttl_s], ["restart", spec.restart],
  ];
  const words = [JSON.stringify(spec.image || "IMAGE"), ...(command ? [JSON.stringify(command)] : [])];
  const lines = named.filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `from banger import Client\n\nvm = Client().run(\n    ${[...words, ...lines].join(",\n    ")},\n)`;
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
