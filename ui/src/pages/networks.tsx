// Named networks, and the machines on them.

import type { JSX } from "preact";
import { call, get, path } from "../api/call";
import { touch } from "../api/live";
import { useLoaded } from "../api/loaded";
import type { Network } from "../api/model";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Empty, Page, Ready, Section } from "../parts/basics";
import { ask } from "../parts/dialog";
import { Go } from "../router";
import { cleanName } from "../text/clean";
import { age } from "../text/units";

export function NetworksPage(): JSX.Element {
  const may = useCell(mayChange);
  const networks = useLoaded((signal) => get<Network[]>("/v1/networks", {}, signal), "", ["network", "machine"]);
  return (
    <Page title="Networks" actions={may && <button class="primary" onClick={askToCreate}>New network</button>}>
      <Ready of={networks}>{(all) => all.length === 0
        ? <Empty title="No named networks">Machines on the same named network reach one another by their names. Create one, then choose it for new machines.</Empty>
        : all.map((network) => <One key={network.name} network={network} may={may} />)}
      </Ready>
    </Page>
  );
}

function One({ network, may }: { network: Network; may: boolean }): JSX.Element {
  const name = cleanName(network.name);
  return (
    <Section title={name} actions={may && (
      <>
        <button class="quiet" aria-label={`Put a machine on ${name}`} onClick={() => ask({
          title: `Put a machine on ${name}`,
          body: <p>It then reaches the other machines there, and they reach it.</p>,
          action: "Connect",
          field: { label: "Machine" },
          act: async (machine) => {
            await call("PUT", path`/v1/networks/${network.name}/machines/${machine}`, { body: {} });
            touch("network");
          },
        })}>Connect a machine</button>
        <button class="quiet danger-text" aria-label={`Delete ${name}`} disabled={network.members.length > 0} onClick={() => ask({
          title: `Delete the network ${name}?`,
          body: <p>It has no machines. Nothing else is taken away.</p>,
          action: "Delete",
          danger: true,
          act: async () => {
            await call("DELETE", path`/v1/networks/${network.name}`);
            touch("network");
          },
        })}>Delete</button>
      </>
    )}>
      <p class="muted">{network.internal ? "internal: no way out · " : ""}made {age(network.created)} ago</p>
      {network.members.length === 0 ? <Empty title="No machines on it">Connect one here, or choose the network when you create one.</Empty> : (
        <ul class="rows">{network.members.map((member) => (
          <li key={member.machine}>
            <Go to={path`/machines/${member.machine}`}>{cleanName(member.machine)}</Go>
            <span class="muted">{[member.address, member.address_6, ...member.aliases].filter(Boolean).map(cleanName).join(", ")}</span>
            {may && <button class="quiet" aria-label={`Take ${cleanName(member.machine)} off ${name}`} onClick={() => ask({
              title: `Take ${cleanName(member.machine)} off ${name}?`,
              body: <p>Its connections to machines there end.</p>,
              action: "Disconnect",
              danger: true,
              act: async () => {
                await call("DELETE", path`/v1/networks/${network.name}/machines/${member.machine}`);
                touch("network");
              },
            })}>Disconnect</button>}
          </li>
        ))}</ul>
      )}
    </Section>
  );
}

function askToCreate(): void {
  ask({
    title: "New network",
    body: <p>Machines on it reach one another by their names.</p>,
    action: "Create",
    field: { label: "Name", pattern: "[a-z0-9][a-z0-9_.\\-]{0,62}" },
    act: async (name) => {
      await call<Network>("POST", "/v1/networks", { body: { name } });
      touch("network");
    },
  });
}
