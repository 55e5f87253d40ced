// A small browser of the guest's tree: look, fetch, send.

import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { call, type Failure, failureOf, path, send } from "../api/call";
import { useLoaded } from "../api/loaded";
import type { FileStat, Machine } from "../api/model";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Complaint, Empty, Ready } from "../parts/basics";
import { Virtual } from "../parts/virtual";
import { cleanName } from "../text/clean";
import { percentEncoded } from "../text/octets";
import { age, bytes } from "../text/units";
import { type Entry, list } from "./listing";
import { firstFile, packed } from "./tar";

const WHOLE_MAX_BYTES = 256 * 1024 * 1024;

export function FilesPanel({ machine }: { machine: Machine }): JSX.Element {
  const may = useCell(mayChange);
  const [directory, setDirectory] = useState("/");
  const [failure, setFailure] = useState<Failure>();
  const [note, setNote] = useState("");
  const picker = useRef<HTMLInputElement>(null);
  const entries = useLoaded(() => list(machine.id, directory), directory);

  const attempt = async (work: () => Promise<string>): Promise<void> => {
    setFailure(undefined);
    try {
      setNote(await work());
    } catch (reason) {
      setNote("");
      setFailure(failureOf(reason));
    }
  };
  const upload = (files: File[]): void => {
    if (!files.length) return;
    setNote(`Sending ${files.length === 1 ? cleanName(files[0]?.name ?? "") : `${files.length} files`} …`);
    void attempt(async () => {
      await call("PUT", path`/v1/machines/${machine.id}/files`, { query: { path: directory }, body: packed(files) });
      entries.again();
      return `Sent to ${cleanName(directory)}`;
    });
  };
  const fetchOne = (entry: Entry): void => void attempt(async () => {
    await save(machine, join(directory, entry.name), cleanName(entry.name));
    return `Fetched ${cleanName(entry.name)}`;
  });
  return (
    <div class="files-panel" onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => { event.preventDefault(); if (may) upload([...event.dataTransfer?.files ?? []]); }}>
      <div class="toolbar">
        <Crumbs directory={directory} go={setDirectory} />
        <span class="spring" />
        <a class="button" href={tarOf(machine, directory)} download="files.tar">Fetch all as tar</a>
        {may && <button onClick={() => picker.current?.click()}>Send files</button>}
        <input ref={picker} type="file" multiple hidden aria-label="Files to send" onChange={(event) => {
          upload([...event.currentTarget.files ?? []]);
          event.currentTarget.value = "";
        }} />
        <button onClick={entries.again}>Look again</button>
      </div>
      <p class="muted note" role="status">{note}</p>
      {failure && <Complaint failure={failure} />}
      <Ready of={entries}>{(all) => all.length === 0
        ? <Empty title="An empty directory">Drop files here to send them.</Empty>
        : <Virtual rows={all} columns={["Name", "Size", "Changed", "Fetch"]} label="Files" kind="files" narrowPx={44} keyOf={(entry) => entry.name}
            cells={(entry) => [
              entry.kind === "directory"
                ? <button class="link name" onClick={() => setDirectory(join(directory, entry.name))}>{cleanName(entry.name)}/</button>
                : <span class="name" title={cleanName(entry.name)}>{cleanName(entry.name)}{entry.kind === "link" ? " →" : ""}</span>,
              <span>{entry.kind === "file" ? bytes(entry.size) : entry.kind}</span>,
              <span>{age(new Date(entry.modified * 1000).toISOString())}</span>,
              entry.kind === "file" ? <button class="quiet" aria-label={`Fetch ${cleanName(entry.name)}`} onClick={() => fetchOne(entry)}>Fetch</button>
                : <a class="button quiet" aria-label={`Fetch ${cleanName(entry.name)} as tar`} href={tarOf(machine, join(directory, entry.name))} download="files.tar">Tar</a>,
            ]} />}
      </Ready>
    </div>
  );
}

function Crumbs({ directory, go }: { directory: string; go: (to: string) => void }): JSX.Element {
  const parts = directory.split("/").filter(Boolean);
  return (
    <nav class="crumbs" aria-label="Directory">
      <button class="link" onClick={() => go("/")}>/</button>
      {parts.map((part, index) => (
        <button class="link" key={index} onClick={() => go(`/${parts.slice(0, index + 1).join("/")}`)}>{cleanName(part)}/</button>
      ))}
    </nav>
  );
}

function join(directory: string, name: string): string {
  return directory === "/" ? `/${name}` : `${directory}/${name}`;
}

function tarOf(machine: Machine, at: string): string {
  return `${path`/v1/machines/${machine.id}/files`}?path=${percentEncoded(at)}`;
}

/** One file, taken out of its archive. What is too large for this page's memory comes as the archive. */
async function save(machine: Machine, at: string, name: string): Promise<void> {
  const stat = await call<FileStat>("GET", path`/v1/machines/${machine.id}/files/stat`, { query: { path: at } });
  if (stat.size_bytes > WHOLE_MAX_BYTES) return hand(tarOf(machine, at), `${name}.tar`);
  const answer = await send("GET", tarOf(machine, at));
  const contents = firstFile(new Uint8Array(await answer.arrayBuffer()));
  const url = URL.createObjectURL(new Blob([contents ?? new Uint8Array()]));
  hand(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function hand(url: string, name: string): void {
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
}
