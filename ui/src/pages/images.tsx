// Images of this host, what catalogs offer, and the catalogs.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call, type Failure, failureOf, get, imagePath, path } from "../api/call";
import { machines, touch } from "../api/live";
import { useLoaded } from "../api/loaded";
import type { Catalog, DiskUsage, Image, Kernel, Machine, Offer, Pruned, SystemInfo } from "../api/model";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Complaint, Empty, Page, Ready, Section } from "../parts/basics";
import { ask } from "../parts/dialog";
import { begin } from "../parts/work";
import { Virtual } from "../parts/virtual";
import { Go } from "../router";
import { cleanName } from "../text/clean";
import { age, bytes, count, moment } from "../text/units";

export function ImagesPage(): JSX.Element {
  const may = useCell(mayChange);
  const images = useLoaded((signal) => get<Image[]>("/v1/images", {}, signal), "", ["image"]);
  const [failure, setFailure] = useState<Failure>();
  return (
    <Page title="Images" actions={may && (
      <>
        <button onClick={() => void askToPrune().catch((reason: unknown) => setFailure(failureOf(reason)))}>Prune</button>
        <button class="primary" onClick={askToPull}>Pull an image</button>
      </>
    )}>
      {failure && <Complaint failure={failure} />}
      <Ready of={images}>{(all) => <Images images={all} may={may} />}</Ready>
      <Space />
      <Offers may={may} />
      <Kernels />
      <Catalogs may={may} />
    </Page>
  );
}

function Images({ images, may }: { images: Image[]; may: boolean }): JSX.Element {
  const users = usersOf([...useCell(machines)?.values() ?? []]);
  if (!images.length) return <Empty title="No images yet">Pull one, such as <code>debian-bookworm</code>; a machine pulls what it needs by itself, too.</Empty>;
  return (
    <Virtual rows={images} columns={["Image", "Size", "On this host", "Layers", "Made", "Used by", "Actions"]} label="Images" kind="images" keyOf={(image) => image.name}
      cells={(image) => [
        <><span class="name" title={cleanName(image.name)}>{cleanName(image.name)}</span>
          <small class="muted" title={cleanName(image.source)}>{image.architecture} · {cleanName(image.source)}</small></>,
        <span>{bytes(image.size_bytes)}</span>, <span>{bytes(image.used_bytes)}</span>,
        image.layers ? <button class="quiet" aria-label={`Layers of ${cleanName(image.name)}`} onClick={() => showSteps(image)}>{image.layers}</button> : <span>–</span>, <span title={image.created}>{age(image.created)}</span>,
        <span class="users">{(users.get(image.digest) ?? []).map((name) => <Go key={name} to={path`/machines/${name}`}>{cleanName(name)}</Go>)}</span>,
        may && <>
          <Go class="button quiet" to={`/new?image=${encodeURIComponent(image.name)}`} aria-label={`Create a machine of ${cleanName(image.name)}`}>Create</Go>
          <button class="quiet danger-text" aria-label={`Delete ${cleanName(image.name)}`} onClick={() => askToDelete(image)}>Delete</button>
        </>,
      ]} />
  );
}

function usersOf(all: Machine[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const machine of all) {
    if (machine.image_digest) found.set(machine.image_digest, [...found.get(machine.image_digest) ?? [], machine.name]);
  }
  return found;
}

function askToPull(): void {
  ask({
    title: "Pull an image",
    body: <p>The name of a catalog's image, or a reference to a registry. The work goes on when you leave this page.</p>,
    action: "Pull",
    field: { label: "Image" },
    act: (ref) => pull(ref),
  });
}

function pull(ref: string): Promise<void> {
  return begin("/v1/images/pull", { ref });
}

function showSteps(image: Image): void {
  ask({ title: `Layers of ${cleanName(image.name)}`, body: <Steps image={image} />, action: "Close" });
}

/** From the newest step down, as `banger history` shows them. */
function Steps({ image }: { image: Image }): JSX.Element {
  const whole = useLoaded((signal) => get<Image>(imagePath(image.name), {}, signal), image.digest, ["image"]);
  return (
    <Ready of={whole}>{({ steps }) => steps.length === 0 ? <p>How this image was made is not known; pull it again to learn it.</p> : (
      <ol class="rows" reversed>{[...steps].reverse().map((step, place) => (
        <li key={place}>
          <span>{cleanName(step.created_by) || "not told"}</span>
          <span class="muted" title={step.digest}>{step.digest ? `${bytes(step.size_bytes)} · ${step.digest.slice(7, 19)}` : "no files"}</span>
        </li>
      ))}</ol>
    )}</Ready>
  );
}

function askToDelete(image: Image): void {
  ask({
    title: `Delete ${cleanName(image.name)}?`,
    body: <p>This takes away the name, and the disk ({bytes(image.used_bytes)}) unless the disk has another name, too. An image that a machine uses stays.</p>,
    action: "Delete",
    danger: true,
    act: async () => {
      await call("DELETE", imagePath(image.name));
      touch("image");
    },
  });
}

async function askToPrune(): Promise<void> {
  const [disks, layers] = await Promise.all([
    call<Pruned>("POST", "/v1/images/prune", { query: { dry_run: true } }),
    call<Pruned>("POST", "/v1/images/cache/prune", { query: { dry_run: true } }).catch(() => undefined),
  ]);
  const freed = disks.freed_bytes + (layers?.freed_bytes ?? 0);
  ask({
    title: "Prune images?",
    body: (
      <>
        <p>This frees <strong>{bytes(freed)}</strong> and takes away:</p>
        <ul>
          <li>{count(disks.count, "disk")} that no name and no machine uses ({bytes(disks.freed_bytes)})</li>
          {layers && <li>{count(layers.count, "compressed layer")} of registries, fetched again if needed ({bytes(layers.freed_bytes)})</li>}
        </ul>
      </>
    ),
    action: "Prune",
    danger: true,
    act: async () => {
      await call("POST", "/v1/images/prune");
      if (layers) await call("POST", "/v1/images/cache/prune");
      touch("image");
    },
  });
}

function Space(): JSX.Element {
  const usage = useLoaded((signal) => get<DiskUsage>("/v1/system/df", {}, signal), "", ["image", "machine", "template", "snapshot"]);
  return (
    <Section title="Disk">
      <Ready of={usage}>{({ rooms, free_bytes }) => (
        <table>
          <thead><tr><th>Kind</th><th>Count</th><th>Takes</th><th>Can be freed</th></tr></thead>
          <tbody>{rooms.map((room) => (
            <tr key={room.kind}><td>{room.kind}</td><td>{room.count}</td><td>{bytes(room.bytes)}</td><td>{bytes(room.reclaimable_bytes)}</td></tr>
          ))}</tbody>
          <tfoot><tr><td>free on this host</td><td /><td>{bytes(free_bytes)}</td><td /></tr></tfoot>
        </table>
      )}</Ready>
    </Section>
  );
}

/** Of the entries of a name, one is for this host's processor; the catalogs offer the others to other hosts. */
export async function offersForHere(signal: AbortSignal): Promise<Offer[]> {
  const [info, offers] = await Promise.all([get<SystemInfo>("/v1/system", {}, signal), get<Offer[]>("/v1/images/catalog", {}, signal)]);
  return offers.filter((offer) => offer.architecture === info.architecture && !offer.hidden_by);
}

function Offers({ may }: { may: boolean }): JSX.Element {
  const [wanted, setWanted] = useState("");
  const [failure, setFailure] = useState<Failure>();
  const offers = useLoaded(offersForHere, "", ["catalog", "image"]);
  const words = wanted.toLowerCase().split(/\s+/);
  return (
    <Section title="In catalogs" actions={<input type="search" aria-label="Search catalogs" placeholder="Search catalogs" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />}>
      {failure && <Complaint failure={failure} />}
      <Ready of={offers}>{(all) => (
        <ul class="rows">
          {all.filter((offer) => words.every((word) => `${offer.name} ${offer.description} ${offer.catalog}`.toLowerCase().includes(word))).slice(0, 100).map((offer) => (
            <li key={offer.ref}>
              <strong>{cleanName(offer.name)}</strong>
              <span class="muted">{cleanName(offer.catalog)} · {cleanName(offer.description)}{offer.size_bytes ? ` · ${bytes(offer.size_bytes)}` : ""}</span>
              {offer.here ? <span class="here">here</span> : may && <button class="quiet" aria-label={`Pull ${cleanName(offer.name)}`} onClick={() => void pull(offer.ref).catch((reason: unknown) => setFailure(failureOf(reason)))}>Pull</button>}
            </li>
          ))}
        </ul>
      )}</Ready>
    </Section>
  );
}

function Kernels(): JSX.Element {
  const kernels = useLoaded((signal) => get<Kernel[]>("/v1/kernels", {}, signal), "", ["kernel"]);
  return (
    <Section title="Kernels">
      <Ready of={kernels}>{(all) => all.length === 0 ? <Empty title="No kernels yet">The first machine fetches the usual one.</Empty> : (
        <ul class="rows">{all.map((kernel) => (
          <li key={kernel.name}><strong>{cleanName(kernel.name)}</strong>
            <span class="muted">{cleanName(kernel.release)} · {kernel.architecture} · {bytes(kernel.size_bytes)} · {cleanName(kernel.source)}</span></li>
        ))}</ul>
      )}</Ready>
    </Section>
  );
}

function Catalogs({ may }: { may: boolean }): JSX.Element {
  const catalogs = useLoaded((signal) => get<Catalog[]>("/v1/catalogs", {}, signal), "", ["catalog"]);
  const [failure, setFailure] = useState<Failure>();
  const refresh = (): void => void call("POST", "/v1/catalogs/refresh").then(() => touch("catalog"), (reason: unknown) => setFailure(failureOf(reason)));
  return (
    <Section title="Catalogs" actions={may && <button onClick={refresh}>Refresh</button>}>
      {failure && <Complaint failure={failure} />}
      <Ready of={catalogs}>{(all) => (
        <ul class="rows">{all.map((catalog) => (
          <li key={catalog.name}>
            <strong>{cleanName(catalog.name)}</strong>
            <span class="muted">{count(catalog.images, "image")}, {count(catalog.kernels, "kernel")} · {cleanName(catalog.url)}
              {catalog.refreshed && ` · fetched ${moment(catalog.refreshed)}`}</span>
            {catalog.problem && <span class="warning">{cleanName(catalog.problem)}</span>}
            {may && catalog.url && <button class="quiet danger-text" aria-label={`Remove ${cleanName(catalog.name)}`} onClick={() => ask({
              title: `Remove the catalog ${catalog.name}?`,
              body: <p>Its images are no longer found by their names. What was pulled from it stays.</p>,
              action: "Remove",
              danger: true,
              act: async () => {
                await call("DELETE", path`/v1/catalogs/${catalog.name}`);
                touch("catalog");
              },
            })}>Remove</button>}
          </li>
        ))}</ul>
      )}</Ready>
    </Section>
  );
}
