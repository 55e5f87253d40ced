// Written by `python -m banger.api.generate` from the API's table; not by hand.

export interface Accelerator {
  name: string;
  usable: boolean;
  reason: string;
}

export interface AutoDriver {
  driver: string;
  reason: string;
  is_tried: boolean;
}

export interface Booted {
  kind: "boot";
}

export interface Caller {
  principal: string;
  way: "socket" | "browser" | "token";
  rights: "read" | "write";
  version: string;
  expires: string;
}

export interface Catalog {
  name: string;
  url: string;
  key: string;
  position: number;
  version: number;
  created: string;
  expires: string;
  refreshed: string;
  images: number;
  kernels: number;
  problem: string;
}

export interface Check {
  ok: boolean;
  message: string;
}

export interface ClonedFromTemplate {
  kind: "template";
  template: string;
}

export interface Command {
  entrypoint: Array<string> | null;
  argv: Array<string>;
  env: Record<string, string>;
  cwd: string;
  user: string;
  tty: boolean;
  stdin: boolean;
  rows: number;
  cols: number;
  timeout_s: number;
}

export interface CommandEnded {
  kind: "command";
  exit: Exit;
}

export interface Confinement {
  layers: Array<string>;
  missing: Record<string, string>;
}

export interface Denial {
  protocol: "tcp" | "udp" | "icmp";
  address: string;
  port: number;
  rule: string;
  count: number;
  allow: string;
}

export interface Diagnosis {
  version: string;
  findings: Array<Finding>;
  done: Array<string>;
  script: string;
}

export interface DiskIo {
  name: string;
  read_bytes: number;
  written_bytes: number;
}

export interface DiskUsage {
  rooms: Array<Room>;
  free_bytes: number;
}

export interface Doorway {
  url: string;
  link: string;
  link_expires: string;
  fingerprint: string;
  has_page: boolean;
}

export interface DriverReport {
  name: string;
  version: string;
  path: string;
  accels: Array<string>;
  problem: string;
  lacks: Array<string>;
  jail: string;
}

export interface Ended {
  operation: Operation<unknown>;
}

export interface EndedUnseen {
  kind: "unseen";
}

export interface ErrorBody {
  code: string;
  message: string;
  hint: string;
  details: Record<string, unknown>;
}

export interface Event {
  seq: number;
  time: string;
  kind: string;
  target: string;
  message: string;
  data: Record<string, unknown>;
}

export interface Exec {
  id: number;
  argv: Array<string>;
  pid: number;
  running: boolean;
  exit: Exit | null;
  started: string;
  detached: boolean;
  main: boolean;
  tty: boolean;
  stdin: boolean;
}

export interface Exit {
  code: number;
  signal: number;
  timed_out: boolean;
}

export interface FileChange {
  kind: "added" | "changed" | "deleted";
  path: string;
}

export interface FileStat {
  type: string;
  mode: number;
  uid: number;
  gid: number;
  size_bytes: number;
  mtime: number;
}

export interface Finding {
  check: string;
  status: "problem" | "warning" | "hint" | "ok";
  found: string;
  why: string;
  mend: string;
  took_ms: number;
}

export interface ForkedFrom {
  kind: "fork";
  machine: string;
}

export interface GuestPort {
  protocol: string;
  address: string;
  port: number;
  pid: number;
  process: string;
  loopback: boolean;
  published: Array<PublishedPort>;
  publishable: boolean;
}

export interface GuestStats {
  uptime_s: number;
  cpu_busy_s: number;
  cpu_idle_s: number;
  load_1min: number;
  memory_total_bytes: number;
  memory_available_bytes: number;
  root_total_bytes: number;
  root_available_bytes: number;
  disks: Array<DiskIo>;
  networks: Array<NetIo>;
}

export interface Health {
  agent: Check;
  init: Check;
  clock: Check;
  vmm: Check;
}

export interface HealthCheck {
  test: Array<string>;
  interval_s: number;
  timeout_s: number;
  retries: number;
  start_period_s: number;
  start_interval_s: number;
}

export interface HostRebooted {
  kind: "host_reboot";
}

export interface Image {
  name: string;
  digest: string;
  architecture: string;
  size_bytes: number;
  used_bytes: number;
  source: string;
  created: string;
  config: ImageConfig;
  manifest_digest: string;
  layers: number;
  catalog: string;
  base: string;
  other_names: Array<string>;
  steps: Array<ImageStep>;
  kernel: string;
  init: string;
}

export interface ImageConfig {
  entrypoint: Array<string>;
  cmd: Array<string>;
  env: Array<string>;
  cwd: string;
  user: string;
  stop_signal: string;
  exposed_ports: Array<string>;
}

export interface ImageStep {
  created: string;
  created_by: string;
  comment: string;
  digest: string;
  size_bytes: number;
}

export interface Kernel {
  name: string;
  digest: string;
  architecture: string;
  release: string;
  version: string;
  size_bytes: number;
  source: string;
  created: string;
  catalog: string;
}

export interface LayerProgress {
  digest: string;
  state: "waiting" | "loading" | "done";
  done: number;
  total: number;
}

export interface Leftover {
  kind: string;
  what: string;
  removed: boolean;
  problem: string;
}

export interface Login {
  registry: string;
  kept_in: string;
  removed: boolean;
  elsewhere: Array<string>;
}

export interface Machine {
  id: string;
  name: string;
  state: "created" | "starting" | "running" | "paused" | "stopping" | "stopped" | "failed" | "deleting";
  spec: MachineSpec;
  created: string;
  owner: number | null;
  image_digest: string;
  kernel: string;
  driver: string;
  driver_version: string;
  driver_lacks: Array<string>;
  accel: string;
  accel_reason: string;
  root_disk: "" | "layer" | "reflink" | "copy";
  kernel_digest: string;
  has_started: boolean;
  health: "" | "starting" | "healthy" | "unhealthy";
  pause_cause: "user" | "idle" | "disk_full" | null;
  ending: StoppedAsAsked | CommandEnded | OutOfMemory | Panicked | Rebooted | PoweredOff | VmmKilled | VmmEnded | MemoryLimitReached | EndedUnseen | HostRebooted | StartInterrupted | StartCancelled | StartFailed | null;
  restart_in_s: number | null;
  disk_failed: boolean;
  idle: boolean;
  disk_full: boolean;
  wanted: "" | "running" | "stopped";
  restarts: number;
  reboots: number;
  origin: Booted | ClonedFromTemplate | RestoredFromSnapshot | ForkedFrom | null;
  unfinished: boolean;
  wiped: boolean;
  place: string;
  address: string;
  network: MachineNetwork;
  stop_signal: string;
  surroundings: Surroundings | null;
  aslr: "" | "on" | "off";
  pid: number;
  agent_boot: string;
  started: string;
  stopped: string;
  reason: string;
  limits: Record<string, string>;
  confinement: Confinement;
  warnings: Array<string>;
  exit: Exit | null;
  timings_ms: Record<string, number>;
}

export interface MachineNetwork {
  link: "" | "none" | "nat" | "tap";
  policy: "none" | "internet" | "lan" | "host" | "";
  address_6: string;
  ports: Array<PublishedPort>;
  denied: number;
  denials: Array<Denial>;
}

export interface MachineSpec {
  image: string;
  name: string;
  kernel: string;
  cpus: number;
  memory_mib: number;
  disk_bytes: number;
  init: "agent" | "image" | "entrypoint" | "";
  accel: "auto" | "kvm" | "tcg";
  driver: string;
  remove: boolean;
  ttl_s: number;
  cold: boolean;
  restart: string;
  idle_pause_s: number;
  cpu_limit: number;
  memory_limit_bytes: number;
  pids_limit: number;
  io_limit_bytes: number;
  iops_limit: number;
  limits: "strict" | "best-effort";
  network: "none" | "internet" | "lan" | "host" | "";
  networks: Array<Membership>;
  allow: Array<string>;
  deny: Array<string>;
  dns: Array<string>;
  hosts: Array<string>;
  hostname: string;
  ports: Array<string>;
  publish_all: boolean;
  mounts: Array<Mount>;
  read_only: boolean;
  tmpfs: Array<string>;
  ulimits: Array<string>;
  labels: Record<string, string>;
  healthcheck: HealthCheck | null;
  stop_signal: string;
  aslr: "auto" | "on" | "off";
  stop_grace_s: number | null;
  confine: "strict" | "best-effort";
  boot_timeout_s: number;
  command: Command | null;
}

export interface Member {
  machine: string;
  address: string;
  address_6: string;
  aliases: Array<string>;
}

export interface Membership {
  network: string;
  aliases: Array<string>;
}

export interface MemoryLimitReached {
  kind: "memory_limit";
  limit_bytes: number;
}

export interface Mount {
  source: string;
  target: string;
  read_only: boolean;
}

export interface NetIo {
  name: string;
  received_bytes: number;
  sent_bytes: number;
}

export interface Network {
  name: string;
  number: number;
  internal: boolean;
  created: string;
  labels: Record<string, string>;
  members: Array<Member>;
}

export interface NewToken {
  name: string;
  rights: "read" | "write";
  made: string;
  expires: string;
  used: string;
  secret: string;
}

export interface Offer {
  name: string;
  ref: string;
  catalog: string;
  architecture: string;
  description: string;
  aliases: Array<string>;
  sources: Array<string>;
  size_bytes: number;
  digest: string;
  created: string;
  provenance: string;
  min_banger: string;
  here: boolean;
  hidden_by: string;
  kernel: string;
}

export interface Operation<T> {
  id: string;
  kind: string;
  target: string;
  state: "running" | "succeeded" | "failed" | "cancelled";
  begun: string;
  ended: string;
  progress: Progress | null;
  made: string;
  result: T | null;
  error: ErrorBody | null;
  request: string;
  principal: string;
}

export interface OutOfMemory {
  kind: "oom";
  exit: Exit;
}

export interface Panicked {
  kind: "panic";
  message: string;
}

export interface Ping {
  round_trips_ms: Array<number>;
}

export interface PoweredOff {
  kind: "poweroff";
}

export interface Progress {
  seq: number;
  phase: string;
  message: string;
  done: number;
  total: number;
  unit: string;
  layers: Array<LayerProgress>;
}

export interface Pruned {
  count: number;
  freed_bytes: number;
  directory: string;
  dry_run: boolean;
  kept: Array<string>;
}

export interface Published {
  entry: string;
  is_signed: boolean;
}

export interface PublishedPort {
  bind: string;
  port: number;
  guest_port: number;
  protocol: "tcp" | "udp";
}

export interface Pushed {
  name: string;
  digest: string;
  layers: number;
  sent: number;
}

export interface Rebooted {
  kind: "reboot";
}

export interface Reconciliation {
  machines: Array<SettledMachine>;
  leftovers: Array<Leftover>;
  dry_run: boolean;
  unreleased: Array<Unreleased>;
}

export interface RestoredFromSnapshot {
  kind: "snapshot";
  machine: string;
  tag: string;
}

export interface Room {
  kind: string;
  count: number;
  bytes: number;
  reclaimable_bytes: number;
}

export interface SettledMachine {
  name: string;
  was: string;
  now: string;
  reason: string;
}

export interface Shape {
  format: number;
  image_digest: string;
  kernel_digest: string;
  initramfs: string;
  driver: string;
  driver_build: string;
  host_cpu: string;
  accel: string;
  cpus: number;
  memory_mib: number;
  init: string;
  disk_bytes: number;
  link: "" | "none" | "nat" | "tap";
}

export interface Snapshot {
  id: string;
  machine: string;
  tag: string;
  created: string;
  image: string;
  kernel: string;
  shape: Shape;
  spec: MachineSpec;
  size_bytes: number;
  digest: string;
}

export interface StartCancelled {
  kind: "start_cancelled";
}

export interface StartFailed {
  kind: "start_failed";
  code: string;
  message: string;
}

export interface StartInterrupted {
  kind: "start_interrupted";
}

export interface Stats {
  guest: GuestStats;
  vmm: VmmStats;
}

export interface StoppedAsAsked {
  kind: "as_asked";
}

export interface Surroundings {
  env: Record<string, string>;
  cwd: string;
  user: string;
}

export interface SystemInfo {
  version: string;
  python: string;
  daemon_pid: number;
  mode: string;
  socket: string;
  architecture: string;
  agent: string;
  store_version: number;
  machines: number;
  places: Record<string, string>;
  accelerators: Array<Accelerator>;
  drivers: Array<DriverReport>;
  auto_driver: AutoDriver | null;
  store_damage: Array<string>;
  no_taps: string;
}

export interface Template {
  id: string;
  image: string;
  kernel: string;
  shape: Shape;
  created: string;
  used: string;
  boot_ms: number;
  size_bytes: number;
  ready: number;
  stale: string;
}

export interface Token {
  name: string;
  rights: "read" | "write";
  made: string;
  expires: string;
  used: string;
}

export interface Unreleased {
  owner: string;
  kind: string;
  what: string;
  released: boolean;
  problem: string;
}

export interface Verified {
  catalog: string;
  version: number;
  bundles: number;
}

export interface VmmEnded {
  kind: "vmm_ended";
  said: string;
}

export interface VmmKilled {
  kind: "vmm_killed";
  by_signal: boolean;
}

export interface VmmStats {
  pid: number;
  accel: string;
  cpu_s: number;
  memory_rss_bytes: number;
  memory_pss_bytes: number;
  threads: number;
  disk_bytes: number;
}
