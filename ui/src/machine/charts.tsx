// Curves of what a machine uses, as they grow.

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { canBeMeasured, type Sample, useMeasured } from "../api/measure";
import type { Machine } from "../api/model";
import { Empty } from "../parts/basics";
import { bytes, percent } from "../text/units";

interface Curve {
  label: string;
  of: (sample: Sample) => number;
  color: string;
}

const rate = (value: number): string => `${bytes(value)}/s`;
const clock = (time: number): string => new Date(time * 1000).toTimeString().slice(0, 8);
const HEIGHT = 150;
const SPAN_S = 120;

export default function Charts({ machine }: { machine: Machine }): JSX.Element {
  const { samples, latest } = useMeasured(machine.id);
  if (machine.spec.idle_pause_s) {
    return <Empty title="Not measured">banger pauses this machine when it is idle, and to measure it would keep it awake.</Empty>;
  }
  if (!canBeMeasured(machine)) return <Empty title="No curves">A machine is measured while it runs. Start it to see what it uses.</Empty>;
  return (
    <div class="charts">
      <Chart title="Processor" samples={samples} shown={percent} top={1}
        curves={[{ label: "busy", of: (sample) => sample.cpu, color: "--curve-1" }]} />
      <Chart title="Memory" samples={samples} shown={bytes} top={latest?.guest.memory_total_bytes}
        curves={[{ label: "used", of: (sample) => sample.memory, color: "--curve-2" }]} />
      <Chart title="Disk" samples={samples} shown={rate}
        curves={[{ label: "read", of: (sample) => sample.read, color: "--curve-1" }, { label: "written", of: (sample) => sample.written, color: "--curve-3" }]} />
      <Chart title="Network" samples={samples} shown={rate}
        curves={[{ label: "received", of: (sample) => sample.received, color: "--curve-1" }, { label: "sent", of: (sample) => sample.sent, color: "--curve-3" }]} />
    </div>
  );
}

interface Props {
  title: string;
  samples: readonly Sample[];
  curves: Curve[];
  shown: (value: number) => string;
  top?: number | undefined;
}

function Chart({ title, samples, curves, shown, top }: Props): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const latest = samples.at(-1);
  useEffect(() => {
    const box = place.current;
    if (!box) return;
    const style = getComputedStyle(box);
    const color = (name: string): string => style.getPropertyValue(name).trim();
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    plot.current = new uPlot({
      width: box.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { show: false },
      scales: { x: { time: true }, y: { range: (_, __, max) => [0, top ?? Math.max(max, 1024)] } },
      axes: [{ ...axis, size: 24, space: 80, values: (_, splits) => splits.map(clock) }, { ...axis, size: 64, space: 34, values: (_, splits) => splits.map(shown) }],
      series: [{}, ...curves.map((curve) => ({ label: curve.label, stroke: color(curve.color), width: 1.5, points: { show: false } }))],
    }, [[], ...curves.map(() => [])], box);
    const watcher = new ResizeObserver(() => plot.current?.setSize({ width: box.clientWidth, height: HEIGHT }));
    watcher.observe(box);
    return () => {
      watcher.disconnect();
      plot.current?.destroy();
    };
  }, [top]);
  useEffect(() => {
    const now = latest?.at ?? Date.now() / 1000;
    plot.current?.setData([samples.map((sample) => sample.at), ...curves.map((curve) => samples.map(curve.of))], false);
    plot.current?.setScale("x", { min: now - SPAN_S, max: now });
  }, [samples, top]);
  return (
    <figure class="card chart">
      <figcaption>
        <strong>{title}</strong>
        {curves.map((curve) => (
          <span key={curve.label} class={`key ${curve.color.slice(2)}`}>{curve.label} {latest ? shown(curve.of(latest)) : "…"}</span>
        ))}
      </figcaption>
      <div class="plot" ref={place} role="img" aria-label={`${title}: ${latest ? curves.map((curve) => `${curve.label} ${shown(curve.of(latest))}`).join(", ") : "no measurement yet"}`} />
    </figure>
  );
}
