// --publish and --expose: `8080:80`, `127.0.0.1:8000-8010:8000-8010/udp`, `[::1]::80`, `published=8080,target=80` (docker/go-connections: nat).

import { isIP } from 'node:net';
import type { PortMapping } from '../../containers/spec.ts';
import { badValue } from './bad-argument.ts';

type Protocol = PortMapping['protocol'];

export function parsePublish(text: string): PortMapping[] {
  const written = text.includes('=') ? standardNotation(text) : text;
  const parts = written.split(':');
  const container = parts.pop() as string;
  const host = parts.pop() ?? '';
  const hostAddress = addressOf(parts.join(':'));
  const { ports, protocol } = splitProtocol(container, written);
  const inside = range(ports, `invalid containerPort: ${ports}`);
  if (host === '') return inside.map((containerPort) => ({ hostAddress, hostPort: 0, containerPort, protocol }));
  const outside = range(host, `invalid hostPort: ${host}`);
  const [hostPort, hostPortEnd] = [outside[0] as number, outside.at(-1) as number];
  if (inside.length === 1 && outside.length > 1) {
    return [{ hostAddress, hostPort, hostPortEnd, containerPort: inside[0] as number, protocol }];
  }
  if (inside.length !== outside.length)
    throw badValue(`invalid ranges specified for container and host Ports: ${ports} and ${host}`);
  return inside.map((containerPort, at) => ({ hostAddress, hostPort: hostPort + at, containerPort, protocol }));
}

/** `80`, `8000-8002/udp` → `80/tcp` and so on. */
export function parseExpose(text: string): string[] {
  if (text.includes(':')) throw badValue(`invalid port format for --expose: ${text}`);
  const { ports, protocol } = splitProtocol(text, text);
  return range(ports, `invalid range format for --expose: ${text}`).map((port) => `${port}/${protocol}`);
}

export const exposedOf = ({ containerPort, protocol }: PortMapping): string => `${containerPort}/${protocol}`;

function standardNotation(text: string): string {
  const parameters = new Map([['protocol', 'tcp']]);
  for (const parameter of text.split(',')) {
    const at = parameter.indexOf('=');
    if (at < 0) throw badValue(`invalid publish opts format (should be name=value but got '${parameter}')`);
    parameters.set(parameter.slice(0, at), parameter.slice(at + 1));
  }
  return `${parameters.get('published') ?? ''}:${parameters.get('target') ?? ''}/${parameters.get('protocol')}`;
}

function addressOf(written: string): string {
  const bare = /^\[(.*)\]$/.exec(written)?.[1] ?? written;
  if (bare !== '' && isIP(bare) === 0) throw badValue(`invalid IP address: ${written}`);
  return bare;
}

function splitProtocol(written: string, whole: string): { ports: string; protocol: Protocol } {
  const [ports = '', ...rest] = written.split('/');
  const protocol = rest.join('/').toLowerCase() || 'tcp';
  if (ports === '') throw badValue(`no port specified: ${whole}<empty>`);
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') throw badValue(`invalid proto: ${rest.join('/')}`);
  return { ports, protocol };
}

function range(written: string, wrong: string): number[] {
  const match = /^(?<first>\d{1,5})(?:-(?<last>\d{1,5}))?$/.exec(written);
  const first = Number(match?.groups?.first);
  const last = Number(match?.groups?.last ?? first);
  if (!(first <= last && last <= 65_535)) throw badValue(wrong);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
