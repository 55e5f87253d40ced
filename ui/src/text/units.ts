// Numbers and times for people.

const STEPS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count: number): string {
  let step = 0;
  while (count >= 1024 && step < STEPS.length - 1) {
    count /= 1024;
    step += 1;
  }
  return `${count < 10 && step > 0 ? count.toFixed(1) : Math.round(count)} ${STEPS[step]}`;
}

export function mebibytes(count: number): string {
  return bytes(count * 1024 * 1024);
}

/** How long ago a time in RFC 3339 was, in one unit. */
export function age(time: string, now = Date.now()): string {
  if (!time) return "";
  return duration(Math.max(0, (now - Date.parse(time)) / 1000));
}

export function duration(seconds: number): string {
  const units: Array<[number, string]> = [[365 * 86400, "y"], [86400, "d"], [3600, "h"], [60, "min"]];
  for (const [size, unit] of units) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

export function moment(time: string): string {
  return time ? time.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC") : "never";
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

export function count(number: number, noun: string, many = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : many}`;
}
