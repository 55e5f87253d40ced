// A new machine: what it is made of and may use, and the same as a command and as lines of Python.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call, type Failure, failureOf, get, path } from "../api/call";
import { keep } from "../api/live";
import { useLoaded } from "../api/loaded";
import type { Image, Machine, MachineSpec, Network } from "../api/model";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Complaint, Empty, Page, Section } from "../parts/basics";
import { begin } from "../parts/work";
import { navigate } from "../router";
import { cleanName } from "../text/clean";
import { bytes } from "../text/units";
import { offersForHere } from "./images";
import { asCommand, asPython } from "./equivalent";

export type Wanted = Partial<MachineSpec> & { image: string };

const GIB = 1024 ** 3;
const HITS = 8;

export function CreatePage(): JSX.Element {
  const may = useCell(mayChange);
  const [spec, setSpec] = useState<Wanted>({ image: new URLSearchParams(location.search).get("image") ?? "" });
  const [words, setWords] = useState("");
  const [ports, setPorts] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  // A second try is the same request: it makes no second machine.
  const [key] = useState(() => crypto.randomUUID());
  const networks = useLoaded((signal) => get<Network[]>("/v1/networks", {}, signal), "", ["network"]);
  if (!may) return <Page title="New machine"><Empty title="Not in this session">This session may only read.</Empty></Page>;

  const change = (part: Partial<MachineSpec>): void => setSpec((old) => without({ ...old, ...part }));
  const wanted: Wanted = without({
    ...spec,
    ports: ports.split(/[\s,]+/).filter(Boolean),
    ...(words.trim() ? { command: { argv: split(words) } as MachineSpec["command"] } : {}),
  });
  const create = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setFailure(undefined);
    try {
      const machine = await call<Machine>("POST", "/v1/machines", { body: wanted, headers: { "Idempotency-Key": `${key}-${digest(wanted)}` } });
      keep(machine);
      await begin(path`/v1/machines/${machine.id}/start`);
      navigate(`${path`/machines/${machine.name}`}?tab=terminal`);
    } catch (reason) {
      setFailure(failureOf(reason));
      setBusy(false);
    }
  };
  const number = (name: "cpus" | "memory_mib" | "cpu_limit" | "pids_limit" | "idle_pause_s" | "ttl_s", label: string, placeholder: string, min: number, step = 1): JSX.Element => (
    <label class="field">
      <span>{label}</span>
      <input type="number" min={min} step={step} placeholder={placeholder} value={spec[name] ?? ""}
        onInput={(event) => change({ [name]: event.currentTarget.value ? Number(event.currentTarget.value) : undefined } as Partial<MachineSpec>)} />
    </label>
  );
  return (
    <Page title="New machine">
      <form class="create" onSubmit={create}>
        <div class="create-form">
          <Section title="Image"><ImagePicker value={spec.image} pick={(image) => change({ image })} /></Section>
          <Section title="Machine">
            <div class="fields">
              <label class="field"><span>Name</span>
                <input value={spec.name ?? ""} pattern="[a-z0-9][a-z0-9_.\-]{0,63}" placeholder="one is made up" autocomplete="off" spellcheck={false}
                  onInput={(event) => change({ name: event.currentTarget.value })} /></label>
              {number("cpus", "Processors", "1", 1)}
              {number("memory_mib", "Memory (MiB)", "512", 64)}
              <label class="field"><span>Disk (GiB)</span>
                <input type="number" min={1} placeholder="4" value={spec.disk_bytes ? spec.disk_bytes / GIB : ""}
                  onInput={(event) => change({ disk_bytes: event.currentTarget.value ? Number(event.currentTarget.value) * GIB : undefined } as Partial<MachineSpec>)} /></label>
            </div>
            <label class="field"><span>Main command</span>
              <input value={words} placeholder="that of the image" autocomplete="off" spellcheck={false} onInput={(event) => setWords(event.currentTarget.value)} />
              <small>The machine ends with it. Without one, it runs until it is stopped.</small></label>
            <p class="muted">A directory of the host is given on the command line alone: <code>banger run -v DIRECTORY:PATH</code>.</p>
          </Section>
          <Section title="Network">
            <div class="fields">
              <label class="field"><span>May reach</span>
                <select value={spec.network ?? ""} onChange={(event) => change({ network: event.currentTarget.value as MachineSpec["network"] })}>
                  <option value="">what the configuration says</option>
                  <option value="none">nothing</option>
                  <option value="internet">the internet</option>
                  <option value="lan">the internet and private networks</option>
                  <option value="host">the host, too</option>
                </select></label>
              <label class="field"><span>Ports</span>
                <input value={ports} placeholder="8080:80 5353:53/udp" autocomplete="off" spellcheck={false} onInput={(event) => setPorts(event.currentTarget.value)} /></label>
              {(networks.value?.length ?? 0) > 0 && (
                <label class="field"><span>Named network</span>
                  <select value={spec.networks?.[0]?.network ?? ""} onChange={(event) =>
                    change({ networks: event.currentTarget.value ? [{ network: event.currentTarget.value, aliases: [] }] : [] })}>
                    <option value="">none</option>
                    {networks.value?.map((one) => <option key={one.name}>{one.name}</option>)}
                  </select></label>
              )}
            </div>
          </Section>
          <details class="card">
            <summary>Limits and life</summary>
            <div class="fields">
              {number("cpu_limit", "Processor time", "no limit", 0, 0.1)}
              {number("pids_limit", "Threads of the VMM", "no limit", 0)}
              {number("idle_pause_s", "Pause after idle (s)", "never", 0)}
              {number("ttl_s", "Delete after (s)", "never", 0)}
              <label class="field"><span>Restart</span>
                <select value={spec.restart ?? "no"} onChange={(event) => change({ restart: event.currentTarget.value })}>
                  {["no", "on-failure", "unless-stopped", "always"].map((one) => <option key={one}>{one}</option>)}
                </select></label>
            </div>
          </details>
          {failure && <Complaint failure={failure} />}
          <div class="actions"><button class="primary" type="submit" disabled={busy || !spec.image}>{busy ? "Creating …" : "Create and start"}</button></div>
        </div>
        <aside class="create-same">
          <Section title="The same as a command"><pre tabIndex={0} aria-label="Command">{cleanName(asCommand(wanted))}</pre></Section>
          <Section title="The same in Python"><pre tabIndex={0} aria-label="Python">{asPython(wanted)}</pre></Section>
        </aside>
      </form>
    </Page>
  );
}

function ImagePicker({ value, pick }: { value: string; pick: (image: string) => void }): JSX.Element {
  const images = useLoaded((signal) => get<Image[]>("/v1/images", {}, signal), "", ["image"]);
  const offers = useLoaded(offersForHere, "", ["catalog"]);
  const needle = value.toLowerCase();
  const local = (images.value ?? []).map((image) => ({ ref: image.name, note: `here, ${bytes(image.size_bytes)}` }));
  const names = new Set(local.map((one) => one.ref));
  const offered = (offers.value ?? []).filter((offer) => !names.has(offer.name))
    .map((offer) => ({ ref: offer.name, note: `${offer.catalog}: ${offer.description}` }));
  const hits = [...local, ...offered].filter((one) => `${one.ref} ${one.note}`.toLowerCase().includes(needle) && one.ref !== value);
  return (
    <>
      <label class="field">
        <span>Name, or a reference to a registry</span>
        <input type="search" required value={value} autofocus autocomplete="off" spellcheck={false} onInput={(event) => pick(event.currentTarget.value)} />
      </label>
      <ul class="hits" aria-label="Images that fit">
        {hits.slice(0, HITS).map((hit) => (
          <li key={hit.ref}><button type="button" onClick={() => pick(hit.ref)}>
            <strong>{cleanName(hit.ref)}</strong> <small class="muted">{cleanName(hit.note)}</small>
          </button></li>
        ))}
        {hits.length === 0 && (images.value || offers.value) && !names.has(value) && value && (
          <li class="muted">No image here and no catalog has this name: banger asks the registry for it.</li>
        )}
      </ul>
    </>
  );
}

/** The words of a line, as a shell separates them; quotes hold words together. */
function split(line: string): string[] {
  return [...line.matchAll(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g)].map(([word]) => word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"));
}

function without<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) =>
    value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0))) as T;
}

function digest(wanted: Wanted): string {
  let sum = 5381;
  for (const letter of JSON.stringify(wanted)) sum = (Math.imul(sum, 33) ^ letter.charCodeAt(0)) >>> 0;
  return sum.toString(16);
}
