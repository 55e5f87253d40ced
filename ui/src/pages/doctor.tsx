// What the doctor found on this host, and how to mend it.

import type { JSX } from "preact";
import { get } from "../api/call";
import { useLoaded } from "../api/loaded";
import type { Diagnosis, SystemInfo } from "../api/model";
import { Facts, Page, Ready, Section } from "../parts/basics";
import { cleanName } from "../text/clean";
import { count } from "../text/units";

const ORDER = ["problem", "warning", "hint", "ok"];

export function DoctorPage(): JSX.Element {
  const diagnosis = useLoaded((signal) => get<Diagnosis>("/v1/system/doctor", {}, signal), "");
  const info = useLoaded((signal) => get<SystemInfo>("/v1/system", {}, signal), "");
  return (
    <Page title="Doctor" actions={<button onClick={diagnosis.again}>Look again</button>}>
      <Section title="Findings">
        <Ready of={diagnosis}>{({ findings }) => (
          <>
            <p>{ORDER.slice(0, 3).map((status) => count(findings.filter((one) => one.status === status).length, status)).join(", ")}</p>
            <ul class="findings">
              {[...findings].sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status)).map((finding) => (
                <li key={finding.check} class={finding.status}>
                  <span class="badge">{finding.status}</span> <strong>{finding.check}</strong>
                  <p>{cleanName(finding.found)}</p>
                  {finding.why && <p class="muted">{cleanName(finding.why)}</p>}
                  {finding.mend && <pre tabIndex={0} aria-label={`How to mend ${finding.check}`}>{cleanName(finding.mend)}</pre>}
                </li>
              ))}
            </ul>
          </>
        )}</Ready>
      </Section>
      <Section title="This banger">
        <Ready of={info}>{(now) => (
          <Facts rows={[
            ["Version", now.version], ["Architecture", now.architecture], ["Daemon", `process ${now.daemon_pid}, ${now.mode}`],
            ["Accelerators", now.accelerators.map((one) => `${one.name}: ${one.usable ? "usable" : one.reason}`).join("; ")],
            ["Drivers", now.drivers.map((one) => `${one.name} ${one.version}${one.problem && `: ${one.problem}`}`).join("; ")],
            ["Driver auto", now.auto_driver ? `${now.auto_driver.driver}: ${now.auto_driver.reason}` : ""],
            ...Object.entries(now.places).map(([name, place]): [string, string] => [name, place]),
          ]} />
        )}</Ready>
      </Section>
    </Page>
  );
}
