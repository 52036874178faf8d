// The values of build's flags that are about RUN: --add-host, --allow, --shm-size, --ssh, --ulimit. Read as buildx reads them
// (build/utils.go, util/buildflags; docker/go-units; buildkit util/entitlements).

import { isIP } from 'node:net';
import { TbuildError } from '../../base/errors.ts';
import { readSize } from '../../base/size.ts';
import type { Entitlements } from '../../build/entitlements.ts';
import type { SshSource } from '../../build/ssh.ts';
import type { Rlimit } from '../../sandbox/container-config.ts';
import type { ExtraHost } from '../../sandbox/files.ts';
import { nearest } from '../nearest.ts';

/** Containers are on the host's network: what listens there is here. */
const HOST_GATEWAY = '127.0.0.1';

/** `name=address[,address…]` or `name:address`; an address may stand in brackets. */
export function parseExtraHost(text: string): ExtraHost[] {
  const at = text.includes('=') ? text.indexOf('=') : text.indexOf(':');
  const [name, addresses] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
  // It becomes a line of /etc/hosts.
  if (name === '' || /[\s#]/.test(name)) {
    throw new TbuildError('usage/bad-value', `--add-host takes name=address, not "${text}"`, {
      hint: 'for example db=10.0.0.7, db=[fd00::7] or host.docker.internal=host-gateway',
    });
  }
  return addresses.split(',').map((written) => {
    const address = written === 'host-gateway' ? HOST_GATEWAY : written.replace(/^\[(.+)\]$/, '$1');
    if (isIP(address) === 0) throw new TbuildError('usage/bad-value', `--add-host has no IP address for ${name}: "${written}"`);
    return { name: name.toLowerCase(), address };
  });
}

/** The last is about exports (output.ts). */
const entitlements = ['network.host', 'security.insecure', 'device', 'buildx.local.delete'];

export function parseAllow(texts: readonly string[]): Entitlements {
  const devices = new Map<string, string | undefined>();
  const words = new Set<string>();
  for (const text of texts.filter((one) => one !== '')) {
    if (text.startsWith('device=') && text !== 'device=') {
      const { name, alias } = parseAllowedDevice(text.slice('device='.length));
      devices.set(alias ?? name, alias && name);
      continue;
    }
    const word = text.replace(/=$/, '');
    if (!entitlements.includes(word)) {
      const meant = nearest(word, entitlements);
      throw new TbuildError('usage/bad-value', `unknown entitlement ${text}`, {
        hint: meant ? `did you mean --allow ${meant}?` : `there are ${entitlements.join(', ')}`,
      });
    }
    words.add(word);
  }
  return {
    networkHost: words.has('network.host'),
    securityInsecure: words.has('security.insecure'),
    devices: words.has('device') ? 'all' : devices,
  };
}

function parseAllowedDevice(text: string): { name: string; alias: string | undefined } {
  const [name = '', ...options] = text.split(',');
  let alias: string | undefined;
  for (const option of options) {
    if (!option.startsWith('alias=')) {
      throw new TbuildError('usage/bad-value', `--allow device=${name} does not know "${option}": it takes alias=NAME`);
    }
    alias = option.slice('alias='.length) || undefined;
  }
  return { name, alias };
}

/** `64m`, `1.5GiB`: powers of 1024 (RAMInBytes). */
export const parseShmSize = (text: string): number => parseBytes(text, '--shm-size');

export function parseBytes(text: string, called: string): number {
  const sizeBytes = readSize(text);
  if (sizeBytes !== undefined) return sizeBytes;
  throw new TbuildError('usage/bad-value', `${called} takes a size, not "${text}"`, { hint: 'for example 128m or 1g' });
}

/** Without a path it is the agent of this session. */
export function parseSsh(text: string): SshSource {
  const at = text.indexOf('=');
  const id = (at < 0 ? text : text.slice(0, at)) || 'default';
  return {
    id,
    paths:
      at < 0
        ? []
        : text
            .slice(at + 1)
            .split(',')
            .filter((path) => path !== ''),
  };
}

const limits = 'core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' ');

/** `nofile=1024`, `nofile=1024:2048`; -1 is no limit. */
export function parseUlimit(text: string): Rlimit {
  const [, name = '', softText = '', hardText] = /^([^=]*)=(-?\d+)(?::(-?\d+))?$/.exec(text) ?? [];
  if (name === '') {
    throw new TbuildError('usage/bad-value', `--ulimit takes type=soft[:hard], not "${text}"`, {
      hint: 'for example nofile=1024:2048',
    });
  }
  if (!limits.includes(name)) {
    const meant = nearest(name, limits);
    throw new TbuildError('usage/bad-value', `invalid ulimit type: ${name}`, {
      hint: meant ? `did you mean ${meant}?` : `there are ${limits.join(', ')}`,
    });
  }
  const soft = Number(softText);
  const hard = hardText === undefined ? soft : Number(hardText);
  const isBad = [soft, hard].some((limit) => limit < -1 || !Number.isSafeInteger(limit));
  const isAbove = hard !== -1 && (soft === -1 || soft > hard);
  if (isBad || isAbove) {
    const why = isBad ? 'a limit is a number, or -1 for none' : `the soft limit is above the hard one: ${soft} > ${hard}`;
    throw new TbuildError('usage/bad-value', `--ulimit ${name}: ${why}`);
  }
  return { type: `RLIMIT_${name.toUpperCase()}`, soft, hard };
}
