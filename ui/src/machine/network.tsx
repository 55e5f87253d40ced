// What a machine may reach, which ports lead to it, and what it was denied.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call, type Failure, failureOf, get, path } from "../api/call";
import { keep } from "../api/live";
import { useLoaded } from "../api/loaded";
import type { GuestPort, Machine, PublishedPort } from "../api/model";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Complaint, Empty, Facts, Ready, Section } from "../parts/basics";
import { ask } from "../parts/dialog";
import { Go } from "../router";
import { cleanName } from "../text/clean";
import { Ports } from "./state";

export function NetworkPanel({ machine }: { machine: Machine }): JSX.Element {
  const at = path`/v1/machines/${machine.id}`;
  const may = useCell(mayChange);
  const [failure, setFailure] = useState<Failure>();
  const full = useLoaded((signal) => get<Machine>(at, {}, signal), machine.id, ["machine"]);
  const network = full.value?.network ?? machine.network;
  const attempt = (work: Promise<Machine>): void => {
    setFailure(undefined);
    work.then(keep, (reason: unknown) => setFailure(failureOf(reason)));
  };
  const close = (port: PublishedPort): void => ask({
    title: `Close port ${port.port}?`,
    body: <p>Port {port.port} of the host no longer leads to port {port.guest_port} of {machine.name}. Open connections through it end.</p>,
    action: "Close",
    danger: true,
    act: async () => keep(await call<Machine>("DELETE", `${at}/published`, { query: { port: ruleOf(port) } })),
  });
  return (
    <>
      {failure && <Complaint failure={failure} />}
      <Section title="Policy" actions={may && (
        <label>May reach{" "}
          <select value={network.policy || machine.spec.network} onChange={(event) =>
            attempt(call<Machine>("POST", `${at}/network`, { body: { network: event.currentTarget.value } }))}>
            {["none", "internet", "lan", "host"].map((policy) => <option key={policy}>{policy}</option>)}
          </select>
        </label>
      )}>
        <Facts rows={[
          ["Policy", network.policy || machine.spec.network || "of the configuration"],
          ["Allowed beside", machine.spec.allow.join(", ")],
          ["Denied beside", machine.spec.deny.join(", ")],
          ["Address", [machine.address, network.address_6].filter(Boolean).join(", ")],
          ["Named networks", machine.spec.networks.length > 0 && (
            <>{machine.spec.networks.map((one) => <Go key={one.network} to="/networks">{cleanName(one.network)} </Go>)}</>
          )],
        ]} />
      </Section>
      <Section title="Published ports" actions={may && <button onClick={() => publish(machine)}>Publish a port</button>}>
        {network.ports.length === 0 ? <Empty title="No port of the host leads here">Publish one, such as 8080:80.</Empty> : (
          <ul class="rows">
            {network.ports.map((port) => (
              <li key={ruleOf(port)}>
                <Ports ports={[port]} /><span class="muted">{port.bind}</span>
                {may && <button class="quiet" aria-label={`Close port ${port.port}`} onClick={() => close(port)}>Close</button>}
              </li>
            ))}
          </ul>
        )}
      </Section>
      {machine.state === "running" && machine.spec.idle_pause_s === 0 && <Listening at={at} />}
      <Section title="Denied">
        {network.denials.length === 0 ? <Empty title="Nothing was denied">What the policy denies the machine appears here.</Empty> : (
          <ul class="rows">
            {network.denials.map((denial, index) => (
              <li key={index}>
                <code>{cleanName(`${denial.protocol} ${denial.address}${denial.port ? `:${denial.port}` : ""}`)}</code>
                <span class="muted">{cleanName(denial.rule)}, {denial.count}×</span>
                {may && denial.allow && (
                  <button class="quiet" aria-label={`Allow ${cleanName(denial.allow)}`} onClick={() =>
                    attempt(call<Machine>("POST", `${at}/network`, { body: { allow: [denial.allow] } }))}>Allow</button>
                )}
              </li>
            ))}
          </ul>
        )}
      </Section>
    </>
  );
}

function Listening({ at }: { at: string }): JSX.Element {
  const ports = useLoaded((signal) => get<GuestPort[]>(`${at}/ports`, {}, signal), at);
  return (
    <Section title="Listening in the guest" actions={<button onClick={ports.again}>Look again</button>}>
      <Ready of={ports}>{(all) => all.length === 0 ? <Empty title="Nothing listens">Start a service in the machine.</Empty> : (
        <ul class="rows">
          {all.map((port, index) => (
            <li key={index}>
              <code>{cleanName(`${port.address}:${port.port}/${port.protocol}`)}</code>
              <span class="muted">{cleanName(port.process)}{port.loopback ? ", loopback only" : ""}</span>
            </li>
          ))}
        </ul>
      )}</Ready>
    </Section>
  );
}

function publish(machine: Machine): void {
  ask({
    title: `Publish a port of ${machine.name}`,
    body: <p>A port of the host then leads to a port of the machine.</p>,
    action: "Publish",
    field: { label: "Port", hint: "[BIND:]HOST:GUEST[/tcp|udp], such as 8080:80" },
    act: async (port) => keep(await call<Machine>("POST", path`/v1/machines/${machine.id}/published`, { body: { port } })),
  });
}

function ruleOf(port: PublishedPort): string {
  const bind = port.bind.includes(":") ? `[${port.bind}]` : port.bind;
  return `${bind}:${port.port}:${port.guest_port}/${port.protocol}`;
}
