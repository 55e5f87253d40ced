// The state of a machine as a mark and a word, and its ports as links.

import type { JSX } from "preact";
import type { Machine, PublishedPort } from "../api/model";
import { cleanName } from "../text/clean";

export function State({ machine }: { machine: Machine }): JSX.Element {
  const words = machine.restart_in_s !== null ? "restarting" : machine.idle ? "idle" : machine.state;
  return (
    <span class={`state ${machine.state}`} title={cleanName(machine.reason)}>
      <span class="dot" aria-hidden="true" />{words}
      {machine.health && <small> {machine.health}</small>}
    </span>
  );
}

export function Ports({ ports }: { ports: readonly PublishedPort[] }): JSX.Element {
  return (
    <span class="ports">
      {ports.map((port) => {
        const text = `${port.port}→${port.guest_port}${port.protocol === "udp" ? "/udp" : ""}`;
        const key = `${port.bind}:${port.port}/${port.protocol}`;
        return port.protocol === "udp" ? <span key={key}>{text}</span>
          : <a key={key} href={`http://${host(port.bind)}:${port.port}/`} target="_blank" rel="noreferrer noopener">{text}</a>;
      })}
    </span>
  );
}

const LOOPBACK = /^127\.|(^|\.)localhost$|^\[?::1\]?$/;

/** Where the port can be reached from this browser. Never by the name of this page: a browser sends a page's cookies to
 * all ports of its host, and behind this one a guest listens. */
function host(bind: string): string {
  const wanted = bind === "0.0.0.0" || bind === "::" || !bind ? location.hostname : bind;
  if (LOOPBACK.test(wanted)) return location.hostname === "localhost" ? "127.0.0.1" : "localhost";
  return wanted.includes(":") && !wanted.startsWith("[") ? `[${wanted}]` : wanted;
}
