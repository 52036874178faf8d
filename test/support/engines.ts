// Debian's podman and buildah, with an OCI runtime of one's choice: everything they keep is in one folder, and everything they run is in one mount
// namespace, in which cgroups are as Debian's crun takes them (it refuses version 1 beside version 2). Assumes root.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTerminal, type Shown } from './terminal.ts';

export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const HYBRID = '/sys/fs/cgroup/unified';

export class Engines {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'tbuild-engines-'));
  readonly #keeper: ChildProcess;

  constructor() {
    const prepare = existsSync(HYBRID) ? `mount -t tmpfs tmpfs ${HYBRID};` : '';
    this.#keeper = spawn(
      'unshare',
      ['-m', '--propagation', 'private', 'sh', '-c', `${prepare} echo ready; exec sleep infinity`],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    writeFileSync(
      path.join(this.folder, 'containers.conf'),
      // Its default limits cannot be set where CAP_SYS_RESOURCE is missing; there is no systemd to make cgroups or to take events.
      `[containers]
default_ulimits = []
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime_supports_json = ["crun", "runc", "tbuild-runner"]
runtime_supports_nocgroup = ["crun", "tbuild-runner"]
`,
    );
  }

  /** `name`: podman or buildah. Resolves however it ends. */
  run(name: string, args: readonly string[], input = ''): Promise<Said> {
    const child = spawn('nsenter', ['-m', '-t', String(this.#keeper.pid), name, ...this.#storage(), ...args], {
      env: this.#env(),
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    const texts = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        texts[stream] += text;
      });
    }
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    return new Promise((resolve, reject) => {
      child.once('error', reject).once('close', (code) => resolve({ code, ...texts }));
    });
  }

  /** The same, on a terminal. */
  onTerminal(name: string, args: readonly string[]): Promise<Shown> {
    return onTerminal(['nsenter', '-m', '-t', String(this.#keeper.pid), name, ...this.#storage(), ...args], this.#env());
  }

  close(): void {
    spawnSync(
      'nsenter',
      ['-m', '-t', String(this.#keeper.pid), 'podman', ...this.#storage(), 'rm', '--all', '--force', '-t', '0'],
      {
        env: this.#env(),
      },
    );
    this.#keeper.kill('SIGKILL');
    // Those that podman keeps for its monitors; what somebody else uses is not empty.
    spawnSync('sh', ['-c', 'find /sys/fs/cgroup/*/libpod_parent -depth -type d -exec rmdir {} + 2>/dev/null']);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #storage(): string[] {
    return ['--root', path.join(this.folder, 'root'), '--runroot', path.join(this.folder, 'run'), '--storage-driver', 'vfs'];
  }

  #env(): NodeJS.ProcessEnv {
    return { ...process.env, CONTAINERS_CONF: path.join(this.folder, 'containers.conf') };
  }

  /** The namespace is as it shall be. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#keeper.stdout?.once('data', () => resolve());
      this.#keeper.once('exit', () => reject(new Error('no mount namespace can be made')));
    });
  }
}
